package commands_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRunserverFollowsItsSource is a day with a project: the same server sees all of
// it.
func TestRunserverFollowsItsSource(t *testing.T) {
	t.Parallel()
	p := newBlog(t).runserver()
	if got := p.get("/polls/"); got != "first" {
		t.Fatalf("it serves %q", got)
	}
	for _, want := range []string{"warning: 1 unapplied migrations of polls", "Reload: when a file of example.com/blog/manage changes"} {
		if !strings.Contains(p.output(), want) {
			t.Errorf("it does not say %q:\n%s", want, p.output())
		}
	}

	var took []time.Duration
	for n := range 10 {
		word := fmt.Sprintf("word %d", n)
		begun := time.Now()
		p.write("polls/views.go", blogView(word))
		p.line("Reloaded after ")
		took = append(took, time.Since(begun))
		if got := p.get("/polls/"); got != word {
			t.Fatalf("after the change it serves %q, want %q\n%s", got, word, p.output())
		}
	}
	slices.Sort(took)
	t.Logf("edit to reload: median %s, from %s to %s", (took[4]+took[5])/2, took[0], took[9])

	ticks := bufio.NewScanner(p.open("/polls/ticks").Body)
	if !ticks.Scan() || ticks.Text() != "data: word 9" {
		t.Errorf("the stream says %q", ticks.Text())
	}
	p.write("polls/views.go", blogView("second")+"\nfunc broken() { return 1 }\n")
	p.line("polls/views.go:9:24: too many return values")
	p.line("error: the program does not compile")
	p.line("hint: the last good build serves on until the next save")
	if got := p.get("/polls/", "Accept", "text/html"); !strings.Contains(got, "<b>polls/views.go:9</b>:24") || !strings.Contains(got, "too many return values\n\thave (number)\n\twant ()") {
		t.Errorf("a browser gets\n%s", got)
	}
	if got := p.get("/polls/"); got != "word 9" {
		t.Errorf("a program gets %q", got)
	}
	p.write("polls/views.go", blogView("second"))
	p.line("Reloaded after ")
	if got := p.get("/polls/", "Accept", "text/html"); got != "second" {
		t.Errorf("after the next good save a browser gets %q", got)
	}
	for ticks.Scan() {
	}
	if err := ticks.Err(); err != nil {
		t.Errorf("the stream of the old process ends with %v", err)
	}

	p.write("site/templates/page.html", "<!doctype html><p>second</p>")
	p.line("site/templates/page.html has changed")
	p.line("Reloaded after ")
	if got := p.get("/polls/page"); got != "<!doctype html><p>second</p>" {
		t.Errorf("the page is %q", got)
	}
	p.write("polls/migrations/0002_votes.sql", strings.ReplaceAll(blogMigration, "poll", "vote"))
	p.eachLine("warning: 2 unapplied migrations of polls", "Reloaded after ") // of two processes
	p.write("settings.yaml", blogSettings+"DEBG: true\n")
	p.line("DEBG: is unknown")
	p.line("error: the new build does not start: exit status 1")
	p.write("settings.yaml", blogSettings)
	p.line("Reloaded after ")
	if got := p.get("/polls/"); got != "second" {
		t.Errorf("at the end it serves %q", got)
	}
	if got, want := strings.Count(p.output(), "Serving at"), 1; got != want {
		t.Errorf("it says %d times where it serves", got)
	}
}

// TestRunserverLeavesNothingBehind however it ends: by Ctrl-C, which reaches the
// whole group, by a signal, by a kill that it cannot answer, and in the middle of a
// build.
func TestRunserverLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	b := newBlog(t)
	for _, end := range []struct {
		name     string
		group    bool
		signal   syscall.Signal
		building bool
		clean    bool
	}{
		{"Ctrl-C", true, syscall.SIGINT, false, true},
		{"SIGTERM", false, syscall.SIGTERM, false, true},
		{"SIGKILL", false, syscall.SIGKILL, false, false},
		{"Ctrl-C while it builds", true, syscall.SIGINT, true, true},
		{"SIGKILL while it builds", false, syscall.SIGKILL, true, false},
	} {
		t.Run(end.name, func(t *testing.T) {
			b := &blog{t: t, dir: b.dir, program: b.program}
			p := b.runserver()
			stream := bufio.NewScanner(p.open("/polls/ticks").Body)
			if !stream.Scan() {
				t.Fatalf("the stream has ended: %v", stream.Err())
			}
			if end.building {
				p.watches()
				p.write("polls/views.go", blogView(end.name))
				p.line("polls/views.go has changed")
				p.builds()
			}
			pids := append(descendants(t, p.cmd.Process.Pid), p.cmd.Process.Pid)
			if len(pids) < 2 {
				t.Fatalf("there is no process but %v", pids)
			}
			target := p.cmd.Process.Pid
			if end.group {
				target = -target
			}
			if err := syscall.Kill(target, end.signal); err != nil {
				t.Fatal(err)
			}
			err := p.cmd.Wait()
			if end.clean && err != nil {
				t.Errorf("it ends with %v\n%s", err, p.output())
			}
			for stream.Scan() {
			}
			if end.clean && stream.Err() != nil {
				t.Errorf("the stream ends with %v", stream.Err())
			}
			p.nothingIsLeft(pids)
			if strings.Contains(p.output(), "error") {
				t.Errorf("it says\n%s", p.output())
			}
		})
	}
}

// watches waits until the project is watched: an own save is seen.
func (p *reloading) watches() {
	p.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; !strings.Contains(p.output(), "polls/probe.go has changed"); n++ {
		p.write("polls/probe.go", fmt.Sprintf("package polls\n\nconst probe = %d\n", n))
		<-tick.C
	}
	p.line("Reloaded after ")
}

// builds waits until a compiler runs.
func (p *reloading) builds() {
	p.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		for _, pid := range descendants(p.t, p.cmd.Process.Pid) {
			if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && (string(name) == "compile\n" || string(name) == "link\n") {
				return
			}
		}
		<-tick.C
	}
}

// TestRunserverWithoutSourceServesWhatIsBuilt: a binary on another machine.
func TestRunserverWithoutSourceServesWhatIsBuilt(t *testing.T) {
	t.Parallel()
	b := newBlog(t)
	elsewhere := t.TempDir()
	if err := os.WriteFile(filepath.Join(elsewhere, "settings.yaml"), []byte(blogSettings), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*exec.Cmd)
		says   string
	}{
		"no source":  {func(cmd *exec.Cmd) { cmd.Dir = elsewhere }, "Reload: off; the source of example.com/blog/manage is not in this folder"},
		"no Go":      {func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "PATH="+elsewhere) }, "Reload: off; the go command is not installed, or not in PATH"},
		"--noreload": {func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "--noreload") }, "Quintet "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := (&blog{t: t, dir: b.dir, program: b.program}).runserver(c.change)
			if !strings.Contains(p.output(), c.says) || name == "--noreload" && strings.Contains(p.output(), "Reload") {
				t.Errorf("it says\n%s", p.output())
			}
			if got := p.get("/polls/"); got != "first" {
				t.Errorf("it serves %q", got)
			}
			if below := descendants(t, p.cmd.Process.Pid); len(below) > 0 {
				t.Errorf("it has started %v", below)
			}
			if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := p.cmd.Wait(); err != nil {
				t.Errorf("it ends with %v\n%s", err, p.output())
			}
		})
	}
}

// TestAPortInUseIsFoundBeforeAnythingIsBuilt: with the words of the plain server.
func TestAPortInUseIsFoundBeforeAnythingIsBuilt(t *testing.T) {
	t.Parallel()
	b := newBlog(t)
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	b.write("polls/views.go", "package polls\n\nwhat")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := b.command("runserver", taken.Addr().String())
	out, err := cmd.CombinedOutput()
	exit, _ := errors.AsType[*exec.ExitError](err)
	if want := "error: " + taken.Addr().String() + " is in use: another program listens there\nhint: stop that program"; ctx.Err() != nil || exit == nil || exit.ExitCode() != 1 || !strings.HasPrefix(string(out), want) {
		t.Errorf("it ends with %v and says\n%s", err, out)
	}
}

//go:build unix

package main_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is who may not write where root may.
const nobody = 65534

// TestScaffoldingMistakes runs the program of this repository into every wall: each
// has its message, its hint and its exit status, and nothing has changed afterwards.
func TestScaffoldingMistakes(t *testing.T) {
	t.Parallel()
	program := build(t)
	for _, m := range []struct {
		args   string // @room is the folder of the house to be in
		status int
		says   string
		hint   string
	}{
		{"startproject", 2, "startproject needs a NAME", "usage: manage startproject NAME [DIR]"},
		{"startproject blog here there", 2, `startproject does not know what to do with "there"`, "usage: "},
		{"startproject blog --modul x", 2, "startproject has no option --modul", "did you mean --module?"},
		{"startproject my-blog", 1, `"my-blog" cannot be the name of a project`, "say for example my_blog: use lower-case letters"},
		{"startproject Blog", 1, `"Blog" cannot be the name of a project`, "say for example blog: "},
		{"startproject 7up", 1, `"7up" cannot be the name of a project`, "use lower-case letters, digits and underscores, and begin with a letter"},
		{"startproject größe", 1, `"größe" cannot be the name of a project`, "use lower-case letters"},
		{"startproject ../blog", 1, `"../blog" cannot be the name of a project`, "use lower-case letters"},
		{"startproject func", 1, `"func" cannot be the name of a project: it is a keyword of Go`, "choose another name"},
		{"startproject string", 1, `"string" cannot be the name of a project: it means something to Go already`, "choose another name"},
		{"startproject log", 1, `"log" cannot be the name of a project: it is a package of the standard library`, "choose another name"},
		{"startproject database", 1, `"database" cannot be the name of a project: packages of the standard library begin with it`, "choose another name"},
		{"startproject test", 1, `"test" cannot be the name of a project: the go command does something special with it`, "choose another name"},
		{"startproject taken", 1, "taken exists already", "choose another name, or another folder: NAME DIR"},
		{"startproject file", 1, "file is a file, where a folder is needed", "choose another name, or another folder"},
		{"startproject blog full", 1, "full is not empty: notes.txt is in it", "choose another folder; nothing is ever overwritten"},
		{"startproject blog file", 1, "file is a file, where a folder is needed", "choose another name, or another folder"},
		{"startproject blog file/in/it", 1, "file is a file, where a folder is needed", "choose another name, or another folder"},
		{"startproject lost", 1, "lost is a link to nothing", "remove it, or choose another name"},
		{"startproject blog locked/blog", 1, "locked/blog cannot be made: permission denied", "choose a folder that you may write to"},
		{"startproject blog locked", 1, "locked cannot be made: permission denied", "choose a folder that you may write to"},
		{"startproject blog --module nodot/blog/", 1, `"nodot/blog/" cannot be the path of a module: `, "say for example --module github.com/you/blog"},
		{"startproject blog --module log/blog", 1, `"log/blog" cannot be the path of a module: its first word has no dot, and can be no name`, "say for example --module github.com/you/blog"},
		{"startproject blog --module github.com/goquintet/quintet/x", 1, `"github.com/goquintet/quintet/x" cannot be the path of a module: it is Quintet's own`, "say for example"},
		{"startproject blog --framework full", 1, "full is no checkout of Quintet: its go.mod is not that of github.com/goquintet/quintet", "name the folder that has the go.mod of Quintet in it"},

		{"startapp", 2, "startapp needs a NAME", "usage: manage startapp NAME"},
		{"startapp polls news", 2, `startapp does not know what to do with "news"`, "usage: "},
		{"startapp polls", 1, "there is no project in ", "go to the folder of a project, or make one: manage startproject blog"},
		{"@module startapp polls", 1, "module is no project that startproject has made: it has no site/apps.go", "go to the folder of a project"},
		{"@nameless startapp polls", 1, "nameless/go.mod names no module", "correct it"},
		{"@project startapp My-Polls", 1, `"My-Polls" cannot be the name of an app`, "say for example my_polls: "},
		{"@project startapp _polls", 1, `"_polls" cannot be the name of an app`, "say for example polls: "},
		{"@project startapp range", 1, `"range" cannot be the name of an app: it is a keyword of Go`, "choose another name"},
		{"@project startapp error", 1, `"error" cannot be the name of an app: it means something to Go already`, "choose another name"},
		{"@project startapp init", 1, `"init" cannot be the name of an app: it means something to Go already`, "choose another name"},
		{"@project startapp main", 1, `"main" cannot be the name of an app: the go command does something special with it`, "choose another name"},
		{"@project startapp test", 1, `"test" cannot be the name of an app: the go command does something special with it`, "choose another name"},
		{"@project startapp vendor", 1, `"vendor" cannot be the name of an app: the go command does something special with it`, "choose another name"},
		{"@project startapp polls_test", 1, `"polls_test" cannot be the name of an app: its end says that it is a test`, "choose another name"},
		{"@project startapp time", 1, `"time" cannot be the name of an app: it is a package of the standard library`, "choose another name"},
		{"@project startapp site", 1, `"site" cannot be the name of an app: every project has a package of that name`, "choose another name"},
		{"@project startapp manage", 1, `"manage" cannot be the name of an app: every project has a package of that name`, "choose another name"},
		{"@project startapp views", 1, `"views" cannot be the name of an app: a package that the site imports has it`, "choose another name"},
		{"@project startapp folder", 1, `"folder" cannot be the name of an app: site/site.go:`, "choose another name, or rename what is there"},
		{"@project startapp news", 1, "news exists already", "choose another name"},
		{"@project startapp polls", 1, "polls cannot be made: permission denied", "choose a folder that you may write to"},
		{"@halflocked startapp polls", 1, "apps.go cannot be written: permission denied", "see that you may write to it"},
		{"@sticky startapp polls", 1, "go.mod cannot be written: operation not permitted", "see that you may write to it"},
		{"@broken startapp polls", 1, "error: site/apps.go:3:12: expected ')', found '{'", "correct it first"},
		{"@changed startapp polls", 1, "site/urls.go is not as startproject has written it: it has no function urls that gets the site", `make the app with --alone, and write the rest by hand. Import "blog/polls"`},
	} {
		t.Run(m.args, func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(m.args, "@sticky ") && os.Geteuid() != 0 {
				t.Skip("only root can make files that belong to somebody else")
			}
			args := strings.Fields(m.args)
			room, ok := strings.CutPrefix(args[0], "@")
			if ok {
				args = args[1:]
			} else {
				room = ""
			}
			dir, program := house(t, program, room)
			before := listing(t, dir)
			from := filepath.Join(dir, room)
			cmd := exec.CommandContext(t.Context(), program, args...)
			cmd.Dir = from
			status, said := asNobody(t, cmd)
			problem, hint, ok := strings.Cut(strings.TrimSuffix(said, "\n"), "\nhint: ")
			if status != m.status || !ok || !strings.HasPrefix(problem, "error: ") || !strings.Contains(problem, m.says) || !strings.Contains(hint, m.hint) {
				t.Errorf("ends with %d, want %d, and says\n%swant\n%s\n%s", status, m.status, said, m.says, m.hint)
			}
			if after := listing(t, dir); after != before {
				t.Errorf("it leaves\n%s\nwhere there was\n%s", after, before)
			}
		})
	}
}

// house is a folder with everything that can be in the way, and a program in it that
// anybody may run. A room in it is a project or what looks like one.
func house(t *testing.T, program, room string) (dir, copied string) {
	t.Helper()
	dir = t.TempDir()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text := func(text, name string) {
		t.Helper()
		name = filepath.Join(dir, name)
		do(os.MkdirAll(filepath.Dir(name), 0o755))
		do(os.WriteFile(name, []byte(text), 0o644))
	}
	mode := func(mode fs.FileMode, name string) {
		t.Helper()
		do(os.Chmod(filepath.Join(dir, name), mode))
		t.Cleanup(func() { do(os.Chmod(filepath.Join(dir, name), 0o755)) })
	}
	copied = filepath.Join(dir, "bin", "manage")
	do(os.Mkdir(filepath.Dir(copied), 0o755))
	do(os.Link(program, copied))
	do(os.Symlink("nowhere", filepath.Join(dir, "lost")))
	text("", "taken/.keep")
	text("", "full/notes.txt")
	text("not a folder", "file")
	text("", "locked/.git/HEAD") // which does not count
	mode(0o555, "locked")
	do(os.Chmod(filepath.Dir(dir), 0o755)) // which the test has for itself

	switch room {
	case "module":
		text("module example.com/other\n", "module/go.mod")
	case "nameless":
		text("// nothing\n", "nameless/go.mod")
	case "":
		return dir, copied
	default:
		cmd := exec.CommandContext(t.Context(), program, "startproject", "blog", room)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("startproject: %v\n%s", err, out)
		}
	}
	switch room {
	case "project": // nobody may add to it
		text("", "project/news/.keep")
		mode(0o555, room)
	case "halflocked": // or change the site
		mode(0o777, room)
		mode(0o555, room+"/site")
	case "sticky": // or replace what is not theirs
		mode(0o777|fs.ModeSticky, room)
		mode(0o777, room+"/site")
	case "broken":
		text("package site\n\nfunc apps( {\n", "broken/site/apps.go")
		mode(0o777, room)
	case "changed":
		text("package site\n", "changed/site/urls.go")
		mode(0o777, room)
	}
	return dir, copied
}

// asNobody runs a command without the rights of root, who may write everywhere.
func asNobody(t *testing.T, cmd *exec.Cmd) (status int, said string) {
	t.Helper()
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), stderr.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, stderr.String()
}

// listing is everything below a folder, with its text.
func listing(t *testing.T, folder string) string {
	t.Helper()
	var found strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		found.WriteString(path + "\n")
		if !entry.Type().IsRegular() || entry.Name() == "manage" {
			return nil
		}
		text, err := os.ReadFile(path)
		found.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found.String()
}

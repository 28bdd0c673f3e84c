package commands_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/goquintet/quintet/manage/commands"
)

// completes is what a shell offers after these words, the last of which is begun.
func completes(t *testing.T, env commands.Env, words ...string) string {
	t.Helper()
	r := run(t, env, append([]string{"__completeNoDesc"}, words...)...)
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if r.status != 0 || !strings.HasPrefix(lines[len(lines)-1], ":") {
		t.Errorf("%q: %+v", words, r)
	}
	return strings.Join(lines[:len(lines)-1], " ")
}

// TestCompletion: commands, options, and names that only the site knows.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ words, want string }{
		{"mi|", "migrate"},
		{"clo|", "close-polls"},
		{"completion z|", "zsh"},
		{"migrate |", "polls"},
		{"migrate polls 0|", "0001_initial 0002_votes"},
		{"migrate polls z|", "zero"},
		{"migrate polls 0001 |", ""},
		{"migrate --database |", "default"},
		{"migrate --database=d|", "--database=default default"},
		{"sqlmigrate polls 0002|", "0002_votes"},
		{"showmigrations |", "polls static"},
		{"showmigrations polls |", "static"},
		{"makemigrations s|", "static"},
		{"makemigrations polls |", ""},
		{"check --tag m|", "migrations models"},
		{"check --fail-level w|", "warning"},
		{"check pol|", "polls"},
		{"migrate --set|", "--settings"},
		{"--settings x.yaml migrate |", "polls"},
	} {
		words := strings.Split(strings.TrimSuffix(c.words, "|"), " ")
		got := completes(t, polls(t), words...)
		for _, word := range strings.Fields(c.want) {
			if strings.HasPrefix(word, "--database=") {
				continue // the shell's own part of the word
			}
			if !strings.Contains(" "+got+" ", " "+word+" ") {
				t.Errorf("%s offers %q, want %q", c.words, got, c.want)
			}
		}
		if c.want == "" && got != "" {
			t.Errorf("%s offers %q", c.words, got)
		}
	}
	if got := completes(t, broken(), "migrate", ""); got != "" {
		t.Errorf("without a site migrate offers %q", got)
	}
}

// TestCompletionScripts: each shell takes its script, where the shell is there.
func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for shell, mark := range map[string]string{"bash": "__start_manage", "zsh": "#compdef manage", "fish": "complete -c manage", "powershell": "Register-ArgumentCompleter"} {
		r := run(t, polls(t), "completion", shell)
		if r.status != 0 || r.errors != "" || !strings.Contains(r.out, mark) {
			t.Errorf("completion %s ends with %d and has no %s", shell, r.status, mark)
		}
		if shell != "bash" {
			continue
		}
		check := exec.CommandContext(t.Context(), "bash", "-n")
		check.Stdin = strings.NewReader(r.out)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("bash does not take it: %v\n%s", err, out)
		}
	}
	env := polls(t)
	env.Name = "go run ./manage"
	r := run(t, env, "completion", "fish")
	if want := "error: a shell cannot complete for go run ./manage\nhint: build the program: go build -o manage ./manage; ./manage completion fish\n"; r.status != 1 || r.errors != want {
		t.Errorf("with go run: %+v", r)
	}
}

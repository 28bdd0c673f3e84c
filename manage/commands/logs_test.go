//go:build unix

package commands_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// People read the log of runserver on their terminal; in a file or a pipe programs do.
func TestLog_IsReadableOnATerminalAndJSONElsewhere(t *testing.T) {
	t.Parallel()
	program := buildServed(t)
	t.Run("elsewhere", func(t *testing.T) {
		t.Parallel()
		p := start(t, siteFolder(t, anyHost), nil, nil, program, "runserver", "--noreload", "127.0.0.1:0")
		p.serving(t, 1)
		p.signal(t, syscall.SIGTERM)
		_, said := p.ends(t)
		for line := range strings.SplitSeq(said, "\n") {
			var entry struct{ Time, Level, Msg string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Level == "" || entry.Msg == "" {
				t.Errorf("this is no line of the log: %s", line)
			}
		}
	})
	t.Run("terminal", func(t *testing.T) {
		t.Parallel()
		script, err := exec.LookPath("script")
		if err != nil {
			t.Skip("script, of util-linux, is not installed")
		}
		cmd := exec.CommandContext(t.Context(), script, "-qec", "exec "+program+" runserver --noreload 127.0.0.1:0", "/dev/null")
		cmd.Dir, cmd.Env = siteFolder(t, anyHost), append(os.Environ(), "TERM=xterm", "NO_COLOR=1")
		keyboard, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		terminal, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		readable := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d INF app: serving .*address=127\.0\.0\.1:\d+`)
		for lines := bufio.NewReader(terminal); !readable.MatchString(text.String()); {
			line, err := lines.ReadString('\n')
			text.WriteString(line)
			if err != nil {
				t.Fatalf("it ends with %v after %q", err, text.String())
			}
			if readable.MatchString(text.String()) {
				go func() { _, _ = io.Copy(io.Discard, lines) }()
			}
		}
		if _, err := io.WriteString(keyboard, "\x03"); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("Ctrl-C ends it with %v", err)
		}
		if strings.Contains(text.String(), `{"`) {
			t.Errorf("it writes %q", text.String())
		}
	})
}

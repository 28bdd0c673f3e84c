package main_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// build builds the program as a stranger would.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manage")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// command prepares a run in the root of the repository, on a database of its own.
func command(ctx context.Context, t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "QUINTET_DATABASES__DEFAULT__NAME="+filepath.Join(t.TempDir(), "db.sqlite3"), "QUINTET_SETTINGS=")
	return cmd
}

func TestTheProgram(t *testing.T) {
	t.Parallel()
	program := build(t)
	t.Run("serves the demo and ends well", func(t *testing.T) {
		t.Parallel()
		serveDemo(t, program)
	})
	t.Run("ends with the status of the command", func(t *testing.T) {
		t.Parallel()
		endings(t, program)
	})
	t.Run("explains every mistake", func(t *testing.T) {
		t.Parallel()
		explainsMistakes(t, program)
	})
	t.Run("leaves an interrupt to the shell of the database", func(t *testing.T) {
		t.Parallel()
		leavesInterrupts(t, program)
	})
	t.Run("paints for terminals only", func(t *testing.T) {
		t.Parallel()
		paints(t, program)
	})
}

// serveDemo starts the program, visits every page, and interrupts it while a stream
// still runs.
func serveDemo(t *testing.T, program string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := command(ctx, t, program, "runserver", "127.0.0.1:0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	url := ""
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if address, ok := strings.CutPrefix(lines.Text(), "Serving at "); ok {
			url = strings.TrimSuffix(address, "/")
		}
		if strings.HasPrefix(lines.Text(), "Quit with Ctrl-C") {
			break
		}
	}
	if url == "" || strings.Count(said.String(), "First start: ") != 1 || !strings.Contains(said.String(), "Settings: settings.yaml") {
		t.Fatalf("it says\n%s%s", said.String(), stderr.String())
	}

	for target, want := range map[string]string{
		"/":                          "A slow client holds no connection",
		"/sales/":                    "30,000",
		"/sales/1/":                  "Sale 1",
		"/sales/export.csv":          "\n30000,",
		"/slow?chunks=3&delay=10ms":  "chunk 3 of 3",
		"/static/demo.css":           "--paper",
		"/clock/":                    "/ticks",
		"/sales/?region=lakes#chips": "Sales in Lakes",
	} {
		body := visit(ctx, t, url+target)
		all, err := io.ReadAll(body)
		if err != nil || !strings.Contains(string(all), want) {
			t.Errorf("%s has no %q (%v)", target, want, err)
		}
	}

	ticks := visit(ctx, t, url+"/ticks")
	if line, err := bufio.NewReader(ticks).ReadString('\n'); err != nil || !strings.HasPrefix(line, "data: {") {
		t.Errorf("/ticks says %q, %v", line, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(stdout); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ends with %v\n%s", err, stderr.String())
	}
}

func visit(ctx context.Context, t *testing.T, url string) io.Reader {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", url, response.Status)
	}
	return response.Body
}

// endings: 0 when all went well, 1 for a failed command, 2 for bad usage; what went
// wrong is on the standard error.
func endings(t *testing.T, program string) {
	for _, e := range []struct {
		args   string
		status int
		says   string
	}{
		{"version", 0, ""},
		{"help", 0, ""},
		{"showmigrations", 0, ""},
		{"--settings nowhere.yaml showmigrations", 1, "error: nowhere.yaml: not found"},
		{"runserver 192.0.2.1:1", 1, "error: 192.0.2.1:1 is no address of this machine\nhint: "},
		{"migrate sale", 1, "error: migrate: app \"sale\": unknown app\nhint: did you mean"},
		{"migrte", 2, "error: unknown command \"migrte\"\nhint: did you mean migrate?\n"},
		{"migrate --databse x", 2, "error: migrate has no option --databse\nhint: did you mean --database?\n"},
	} {
		status, _, stderr := runProgram(t, program, e.args)
		if status != e.status || !strings.Contains(stderr, e.says) {
			t.Errorf("manage %s ends with %d, want %d, and says\n%s", e.args, status, e.status, stderr)
		}
	}
}

package demo_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/manage/commands"
	"github.com/goquintet/quintet/manage/demo"
)

func TestTheFirstStartCreatesMigratesAndFillsAndSaysSo(t *testing.T) {
	t.Parallel()
	settings := db.Settings{Engine: "sqlite", Name: filepath.Join(t.TempDir(), "db.sqlite3")}
	out := visit(t, settings, "/sales/", "30,000")
	for _, want := range []string{
		"First start: the demo creates, migrates and fills its database, " + settings.Name,
		"Applying sales.0001_initial... OK",
		"It is ready after",
		"Database: sqlite, " + settings.Name,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the first start does not say %q:\n%s", want, out)
		}
	}
	if strings.Index(out, "It is ready") > strings.Index(out, "Serving at") {
		t.Errorf("it serves before it is ready:\n%s", out)
	}
	if out := visit(t, settings, "/sales/", "30,000"); strings.Contains(out, "First start") {
		t.Errorf("the second start is a first one:\n%s", out)
	}
}

func TestOtherDatabasesAreNotTouched(t *testing.T) {
	t.Parallel()
	out := visit(t, dbtest.Database(t, dbtest.Postgres), "/", "A slow client")
	if !strings.Contains(out, "warning: 1 unapplied migrations of sales") || strings.Contains(out, "First start") {
		t.Errorf("runserver on PostgreSQL says:\n%s", out)
	}
}

// TestMigrateFillsPostgreSQLToo: by settings alone the demo runs on the other engine.
func TestMigrateFillsPostgreSQLToo(t *testing.T) {
	t.Parallel()
	settings := dbtest.Database(t, dbtest.Postgres)
	var out bytes.Buffer
	if status := commands.Run(t.Context(), env(settings, &out, "migrate")); status != 0 {
		t.Fatalf("migrate ends with %d:\n%s", status, out.String())
	}
	if out := visit(t, settings, "/sales/", "30,000"); strings.Contains(out, "warning") {
		t.Errorf("after migrate runserver says:\n%s", out)
	}
	if status := commands.Run(t.Context(), env(settings, &out, "seed")); status != 0 {
		t.Errorf("a second seed ends with %d:\n%s", status, out.String())
	}
}

func env(settings db.Settings, out io.Writer, args ...string) commands.Env {
	return commands.Env{
		Args: args, Stdout: out, Stderr: out,
		NewSite: func() (*app.Site, error) {
			return demo.NewWith(app.Settings{
				Debug: true, LogLevel: slog.LevelError + 1, Databases: map[string]db.Settings{db.DefaultAlias: settings},
			})
		},
	}
}

// visit runs runserver, reads one page, stops it, and returns what it has said.
func visit(t *testing.T, settings db.Settings, target, want string) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &output{address: make(chan string, 1)}
	ended := make(chan int, 1)
	go func() { ended <- commands.Run(ctx, env(settings, out, "runserver", "127.0.0.1:0")) }()
	select {
	case address := <-out.address:
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+strings.TrimPrefix(target, "/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := new(http.Transport).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s has no %q (%v):\n%s", target, want, err, body)
		}
		stop()
		if status := <-ended; status != 0 {
			t.Errorf("runserver ends with %d:\n%s", status, out.String())
		}
	case status := <-ended:
		t.Fatalf("runserver ends with %d:\n%s", status, out.String())
	}
	return out.String()
}

// output is what a command says; address gets the URL that it serves at.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	address chan string
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if address, ok := bytes.CutPrefix(b, []byte("Serving at ")); ok {
		o.address <- string(bytes.TrimSpace(address))
	}
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

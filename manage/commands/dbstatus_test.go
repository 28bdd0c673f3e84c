//go:build unix

package commands_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/admin"
	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/manage/commands"
)

// sockets is a folder for the sockets of one site.
func sockets(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "sockets") //nolint:usetesting // its name may make the path of a socket too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}

// watched is a site whose processes have their sockets in a folder.
func watched(t *testing.T, folder string, databases map[string]db.Settings) commands.Env {
	return polls(t, func(s *app.Settings, _ *app.Options) {
		s.AdminSockets = folder
		if databases != nil {
			s.Databases = databases
		}
	})
}

// answers is a process that says a status. Only its socket is real.
func answers(t *testing.T, folder string, status any) {
	t.Helper()
	l, err := admin.At(folder).Listen()
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewEncoder(w).Encode(status); err != nil {
			t.Error(err)
		}
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// two are the statuses of two processes, with numbers that stay.
func two() (app.Status, app.Status) {
	started := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	first := app.Status{
		Process: app.ProcessStatus{PID: 4711, Started: started, Now: started.Add(125 * time.Minute), Addresses: []string{"127.0.0.1:8000", "/run/blog.sock"}},
		Site:    app.SiteStatus{Requests: 14, Streams: 12, TotalRequests: 999, RefusedStreams: 3, KeptStreams: 1},
		Streams: []app.StreamStatus{
			{Route: "GET /\x1b[2Jevents", AgeSeconds: 7200, State: "generating", KeepConnection: true},
			{Route: "GET /export", AgeSeconds: 30, State: "writing", Written: new(started.Add(124 * time.Minute))},
			{Route: "GET /export", AgeSeconds: 0.5, State: "writing"},
		},
		Databases: []app.DatabaseStatus{{
			Alias: "default", Engine: "sqlite", Numbers: live.Numbers{Max: 4, Open: 4, InUse: 3, Idle: 1, Waiting: 11, Writers: 1},
			Waiters: crowd(),
			Connections: []app.ConnectionStatus{
				{State: "leased", AgeSeconds: 543, Holder: &app.HolderStatus{
					Name: "GET /report", HeldSeconds: 31.24, IdleSeconds: 30.9, InAtomicBlock: true, Open: true,
					LastStatement: `SELECT "sale"."id" FROM "sale" WHERE (region = ?)`, At: "views/report.go:88", Queries: 3,
				}},
				{State: "leased", AgeSeconds: 60, Holder: &app.HolderStatus{
					Name: "GET /\x1b[2Jslow\n", HeldSeconds: 0.5, IdleSeconds: 0.002, Open: true, Streaming: true, LastStatement: "SELECT ?", At: "views/slow.go:7",
				}},
				{State: "leased", AgeSeconds: 7200, Holder: &app.HolderStatus{
					Name: "listener", HeldSeconds: 7200, IdleSeconds: 7199, Dedicated: true, LastStatement: "LISTEN sale", At: "jobs/listen.go:12",
				}},
				{State: "idle", AgeSeconds: 12.04},
				{State: "between", AgeSeconds: 100},
			},
		}, {
			Alias: "replica", Engine: "sqlite", Numbers: live.Numbers{Max: 10}, Connections: []app.ConnectionStatus{},
		}},
	}
	second := app.Status{
		Process: app.ProcessStatus{PID: 815, Started: started.Add(time.Hour), Now: started.Add(time.Hour + 1500*time.Millisecond), Addresses: []string{"127.0.0.1:8001"}},
		Databases: []app.DatabaseStatus{{
			Alias: "default", Engine: "sqlite", Numbers: live.Numbers{Max: 4, Open: 1, InUse: 1},
			Connections: []app.ConnectionStatus{{State: "leased", AgeSeconds: 1.5, Holder: &app.HolderStatus{
				Name: "nightly-report", HeldSeconds: 1.1, IdleSeconds: 1.05, LastStatement: "", At: "jobs/report.go:40",
			}}},
		}},
	}
	return first, second
}

// crowd are more than are listed.
func crowd() (all []app.WaiterStatus) {
	for n := range 12 {
		all = append(all, app.WaiterStatus{Name: "GET /polls/{id}", WaitedSeconds: 2.5 - float64(n)/10, At: "polls/views.go:33"})
	}
	all[3] = app.WaiterStatus{Name: "POST /\x1b[2Jvote", WaitedSeconds: 3.25, At: "polls/views.go:60", Writes: true}
	return all
}

// TestDbstatus_ForPeople: whatever a route is called, it does not move the cursor.
func TestDbstatus_ForPeople(t *testing.T) {
	t.Parallel()
	folder := sockets(t)
	first, second := two()
	answers(t, folder, second)
	answers(t, folder, first)
	env := watched(t, folder, map[string]db.Settings{
		"default": {Engine: "sqlite", Name: "/nowhere/blog.db"}, "replica": {Engine: "sqlite", Name: ":memory:"},
	})
	r := run(t, env, "dbstatus")
	if r.status != 0 || r.errors != "" {
		t.Errorf("dbstatus: %+v", r)
	}
	golden(t, "dbstatus.txt", unversioned(r.out))
	r = run(t, env, "dbstatus", "--database", "replica")
	if r.status != 0 || r.errors != "" {
		t.Errorf("dbstatus of an alias: %+v", r)
	}
	golden(t, "dbstatus_replica.txt", unversioned(r.out))
	r = run(t, env, "dbstatus", "--force-color")
	golden(t, "dbstatus_colours.txt", unversioned(r.out))
}

// unversioned replaces what changes with a library.
func unversioned(text string) string {
	return regexp.MustCompile(`SQLite \d[\d.]*`).ReplaceAllString(text, "SQLite X")
}

func TestDbstatus_ForPrograms(t *testing.T) {
	t.Parallel()
	folder := sockets(t)
	first, second := two()
	answers(t, folder, first)
	answers(t, folder, second)
	env := watched(t, folder, map[string]db.Settings{
		"default": {Engine: "sqlite", Name: "/nowhere/blog.db"}, "replica": {Engine: "sqlite", Name: ":memory:"},
	})
	r := run(t, env, "dbstatus", "--json", "--database", "default")
	var got struct {
		Time      time.Time
		Processes []struct {
			PID    int
			Socket string
			Error  string
			Status app.Status
		}
		Databases []struct {
			Alias, Engine, Name, Error string
			SQLite                     struct{ Missing bool }
		}
	}
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.status != 0 || len(got.Processes) != 2 || len(got.Databases) != 1 {
		t.Fatalf("%v: %+v", err, r)
	}
	if p := got.Processes[0]; p.PID != 4711 || !strings.HasPrefix(p.Socket, folder) || len(p.Status.Databases) != 1 ||
		p.Status.Databases[0].Connections[0].Holder.HeldSeconds != 31.24 {
		t.Errorf("the first process is %+v", p)
	}
	if d := got.Databases[0]; d.Alias != "default" || d.Engine != "sqlite" || d.Name != "/nowhere/blog.db" || !d.SQLite.Missing {
		t.Errorf("the database is %+v", d)
	}
}

// Mistakes: a message, what to do, and the status; what can be shown is shown.
func TestDbstatus_Mistakes(t *testing.T) {
	t.Parallel()
	dir := sockets(t)
	silent, open := sockets(t), sockets(t)
	answers(t, silent, "nonsense")
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	memory := map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:"}}
	const shown = "default  sqlite, :memory:\n  SQLite X: in memory, each process has its own\n"
	for _, m := range []struct {
		folder string
		args   []string
		status int
		errors string
		out    string
	}{
		{dir, nil, 1, "error: no process serves this site\n" +
			"hint: those of other users and with other settings or another TMPDIR are not seen; theirs would be in " + dir + "\n", shown},
		{app.NoAdmin, nil, 1, "error: the processes of this site cannot be asked: ADMIN_SOCKETS is none\n" +
			"hint: name a folder there, and start them anew (ADMIN_SOCKETS: default)\n", shown},
		{open, nil, 1, "error: admin: " + open + ": is open to other users (mode 0755)\nhint: say chmod 700, or choose a folder below it\n", shown},
		{silent, nil, 1, "error: the process PID does not say how it is: json: cannot unmarshal string into Go value of type app.Status\n" +
			"hint: it may hang, or be stopped; its socket is SOCKET\n",
			shown + "\n  PROCESS  ADDRESS  UP  OPEN  MAX  IDLE  LEASED  WAITING  LONGEST  AGES\n  PID  json: cannot unmarshal string into Go value of type app.Status\n"},
		{dir, []string{"--database", "defalt"}, 1, "error: there is no database \"defalt\"\nhint: did you mean default? DATABASES has default\n", ""},
		{dir, []string{"--wach"}, 2, "error: dbstatus has no option --wach\nhint: did you mean --watch?\n", ""},
		{dir, []string{"now"}, 2, "error: dbstatus does not know what to do with \"now\"\nhint: usage: manage dbstatus\n", ""},
	} {
		r := run(t, watched(t, m.folder, memory), append([]string{"dbstatus"}, m.args...)...)
		pid := strconv.Itoa(os.Getpid())
		errs := regexp.MustCompile(regexp.QuoteMeta(silent)+`/\S+`).ReplaceAllString(r.errors, "SOCKET")
		errs = strings.Replace(errs, "process "+pid, "process PID", 1)
		out := regexp.MustCompile(`(?m)^  `+pid+` +(.*)$`).ReplaceAllString(unversioned(r.out), "  PID  $1")
		out = regexp.MustCompile(`PROCESS +ADDRESS +`).ReplaceAllString(out, "PROCESS  ADDRESS  ")
		if r.status != m.status || errs != m.errors || out != m.out {
			t.Errorf("dbstatus %v with %s ends with %d and says\n%s%swant %d\n%s%s", m.args, m.folder, r.status, out, errs, m.status, m.out, m.errors)
		}
	}
	if r := run(t, polls(t, func(s *app.Settings, _ *app.Options) { s.Databases = nil }), "dbstatus"); r.status != 1 ||
		r.errors != "error: this site has no database\nhint: add DATABASES to its settings\n" {
		t.Errorf("without databases: %+v", r)
	}
}

func TestDbstatus_TheFolderOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder away")
	}
	folder := sockets(t)
	if err := os.Chown(folder, 54321, -1); err != nil {
		t.Fatal(err)
	}
	r := run(t, watched(t, folder, nil), "dbstatus")
	if want := "error: admin: " + folder + ": belongs to another user, 54321\nhint: become 54321, or choose another folder\n"; r.status != 1 || r.errors != want {
		t.Errorf("dbstatus: %+v", r)
	}
}

// A server that is gone is a line in the report, and an error.
func TestDbstatus_AServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	folder := sockets(t)
	first, _ := two()
	answers(t, folder, first)
	env := watched(t, folder, map[string]db.Settings{"default": {Engine: "postgres", Name: "blog", Host: "127.0.0.1", Port: 1, AcquireTimeout: 100 * time.Millisecond}})
	r := run(t, env, "dbstatus")
	if r.status != 1 || !strings.Contains(r.out, "default  postgres, blog\n  cannot be asked: ") || !strings.Contains(r.out, "\n  4711 ") ||
		!strings.HasPrefix(r.errors, "error: the database \"default\" cannot be reached: ") || !strings.Contains(r.errors, "hint: start it, or correct DATABASES.default") {
		t.Errorf("dbstatus: %+v", r)
	}
}

// What the servers say, with a connection of somebody else open, and in SQLite a
// writer at work.
func TestDbstatus_WhatTheServerSays(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		conns := dbtest.Open(t, settings, db.Options{})
		err := conns.Run(t.Context(), "writer", func(ctx context.Context) error {
			if _, err := db.From(ctx).ExecContext(ctx, "CREATE TABLE poll (id integer)"); err != nil {
				return err
			}
			return db.Atomic(ctx, func(ctx context.Context) error {
				if _, err := db.From(ctx).ExecContext(ctx, "INSERT INTO poll VALUES (1)"); err != nil {
					return err
				}
				r := run(t, watched(t, sockets(t), map[string]db.Settings{"default": settings}), "dbstatus")
				for _, want := range map[string][]string{
					dbtest.SQLite:   {`(?m)^  SQLite [\d.]+: [\d.]+ (bytes|kB), journal wal \([\d.]+ (bytes|kB)\), somebody is writing$`},
					dbtest.Postgres: {`(?m)^  PostgreSQL \d+.*: \d+ of \d+ connections, \d+ of them reserved$`, `(?m)^  quintet: 1 idle in transaction \(up to [\d.]+m?s\)$`},
				}[settings.Engine] {
					if !regexp.MustCompile(want).MatchString(r.out) {
						t.Errorf("dbstatus says\n%s%swant %s", r.out, r.errors, want)
					}
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if r := run(t, watched(t, sockets(t), map[string]db.Settings{"default": settings}), "dbstatus"); strings.Contains(r.out, "writing") {
			t.Errorf("afterwards dbstatus says\n%s", r.out)
		}
	})
}

// Only a process that uses a file shall make it.
func TestDbstatus_MakesNoFile(t *testing.T) {
	t.Parallel()
	name := t.TempDir() + "/a/b.sqlite3"
	r := run(t, watched(t, sockets(t), map[string]db.Settings{"default": {Engine: "sqlite", Name: name}}), "dbstatus")
	if _, err := os.Stat(name); err == nil || !strings.Contains(r.out, "there is no such file yet") {
		t.Errorf("dbstatus: %+v, %v", r, err)
	}
}

// frames ends a command when it has written a number of times.
type frames struct {
	text bytes.Buffer
	want int
	end  context.CancelFunc
}

func (f *frames) Write(b []byte) (int, error) {
	if f.want--; f.want == 0 {
		f.end()
	}
	return f.text.Write(b)
}

func TestDbstatus_Watch(t *testing.T) {
	t.Parallel()
	folder := sockets(t)
	first, _ := two()
	env := watched(t, folder, map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:"}})
	watch := func(args ...string) string {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out, errs := &frames{want: 2, end: cancel}, new(bytes.Buffer)
		env.Args, env.Stdout, env.Stderr = append([]string{"dbstatus", "--watch"}, args...), out, errs
		if status := commands.Run(ctx, env); status != 0 || errs.Len() != 0 {
			t.Errorf("watching ends with %d: %s", status, errs)
		}
		return out.text.String()
	}
	text := regexp.MustCompile(`\d\d:\d\d:\d\d`).ReplaceAllString(unversioned(watch()), "HH:MM:SS")
	frame := "HH:MM:SS\nno process serves this site\n\ndefault  sqlite, :memory:\n  SQLite X: in memory, each process has its own\n"
	if text != frame+"\n"+frame {
		t.Errorf("without a terminal it writes\n%s", text)
	}
	answers(t, folder, first)
	lines := strings.Split(strings.TrimSpace(watch("--json")), "\n")
	if len(lines) != 2 || !json.Valid([]byte(lines[0])) || !json.Valid([]byte(lines[1])) || !strings.Contains(lines[1], `"pid":4711`) {
		t.Errorf("for programs it writes\n%s", strings.Join(lines, "\n"))
	}
}

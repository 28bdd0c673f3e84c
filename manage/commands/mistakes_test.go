package commands_test

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/manage/commands"
)

// TestMistakes holds what people read when they mistype something: 2 is bad usage,
// 1 a command that could not do what it was told.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, m := range []struct {
		args   string
		status int
		says   []string
	}{
		{"migrte", 2, []string{`error: unknown command "migrte"`, "hint: did you mean migrate?"}},
		{"runsever", 2, []string{`error: unknown command "runsever"`, "hint: did you mean runserver?"}},
		{"close-pols", 2, []string{`error: unknown command "close-pols"`, "hint: did you mean close-polls?"}},
		{"xyzzy", 2, []string{`error: unknown command "xyzzy"`, `hint: "manage help" lists the commands`}},
		{"help xyzzy", 2, []string{`error: unknown command "xyzzy"`, `hint: "manage help" lists the commands`}},
		{"help migrat", 2, []string{`error: unknown command "migrat"`, "hint: did you mean migrate?"}},
		{"migrate --databse x", 2, []string{"error: migrate has no option --databse", "hint: did you mean --database?"}},
		{"migrate --setings x", 2, []string{"error: migrate has no option --setings", "hint: did you mean --settings?"}},
		{"migrate --fake", 2, []string{"error: migrate has no option --fake", `hint: "manage help migrate" explains it`}},
		{"migrate -x", 2, []string{"error: migrate has no option -x", `hint: "manage help migrate" explains it`}},
		{"--xyzzy", 2, []string{"error: manage has no option --xyzzy", `hint: "manage help" explains them`}},
		{"migrate --database", 2, []string{"error: migrate: flag needs an argument: --database", `hint: "manage help migrate" explains it`}},
		{"migrate --settings", 2, []string{"error: flag needs an argument: --settings", "hint: say for example --settings production.yaml"}},
		{"migrate --no-color --force-color", 2, []string{"error: --no-color and --force-color contradict each other", "hint: say one of them"}},
		{"migrate polls 0001 0002", 2, []string{`error: migrate does not know what to do with "0002"`, "hint: usage: manage migrate [APP [NAME]]"}},
		{"version 2", 2, []string{`error: version does not know what to do with "2"`, "hint: usage: manage version"}},
		{"test --require=oracle", 2, []string{`error: nothing can be required by the name "oracle"`, "hint: say --require=postgres"}},

		{"migrate pols", 1, []string{`error: migrate: app "pols": unknown app`, `hint: did you mean "polls"? the apps are polls, static`}},
		{"migrate polls 0003", 1, []string{"error: migrate: polls.0003: unknown migration", "0001_initial, 0002_votes"}},
		{"migrate polls 000", 1, []string{"error: migrate: polls.000: ambiguous migration", "hint: "}},
		{"migrate --database replica", 1, []string{`error: there is no database "replica"`, "hint: DATABASES has default"}},
		{"migrate --database defalt", 1, []string{`error: there is no database "defalt"`, "hint: did you mean default? DATABASES has default"}},
		{"showmigrations --database replica", 1, []string{`error: there is no database "replica"`, "hint: DATABASES has default"}},
		{"showmigrations poll", 1, []string{`error: there is no app "poll"`, "hint: did you mean polls? the apps are polls, static"}},

		{"runserver 99999", 1, []string{`error: "99999" is no port and no address with a port`, "hint: say for example 8001, 127.0.0.1:8001 or [::1]:8001"}},
		{"runserver here", 1, []string{`error: "here" is no port and no address with a port`, "hint: say for example 8001"}},
		{"runserver http://localhost:8000", 1, []string{`error: "http://localhost:8000" is no port and no address with a port`, "hint: "}},
		{"runserver ::1:8000", 1, []string{`error: "::1:8000" is no port and no address with a port`, "hint: "}},
		{"runserver 192.0.2.1:8000", 1, []string{"error: 192.0.2.1:8000 is no address of this machine", "hint: say 127.0.0.1 for this machine only, or 0.0.0.0 for all of its addresses"}},
		{"runserver no-such-host.invalid:8000", 1, []string{`error: no address is known for "no-such-host.invalid"`, "hint: say 127.0.0.1"}},
		{"runserver --norelod", 2, []string{"error: runserver has no option --norelod", "hint: did you mean --noreload?"}},
		{"runserver --noreload=perhaps", 2, []string{`error: runserver: "perhaps" is no value for --noreload`, "hint: --noreload"}},
		{"runserver --noreload 99999", 1, []string{`error: "99999" is no port and no address with a port`, "hint: say for example 8001"}},
		{"serve --addr 99999", 1, []string{`error: "99999" is no port and no address with a port`, "hint: say for example 8001, 127.0.0.1:8001 or [::1]:8001"}},
		{"serve --addr=", 1, []string{"error: --addr: the address is empty", "hint: say for example --addr 127.0.0.1:8001, or leave it out for LISTEN"}},
		{"serve --addr 192.0.2.1:8000", 1, []string{"error: 192.0.2.1:8000 is no address of this machine", "hint: say 127.0.0.1 for this machine only"}},
		{"serve --addr no-such-host.invalid:8000", 1, []string{`error: no address is known for "no-such-host.invalid"`, "hint: say 127.0.0.1"}},
		{"serve --unix=", 1, []string{"error: --unix: the path is empty", "hint: say for example --unix /run/site/site.sock"}},
		{"serve --unix testdata", 1, []string{`error: "testdata" is there already, and is no socket`, "hint: remove it, or choose another path"}},
		{"serve --unix doc.go", 1, []string{`error: "doc.go" is there already, and is no socket`, "hint: remove it, or choose another path"}},
		{"serve --unix nowhere/at/all", 1, []string{`error: there is no folder "nowhere/at" for the unix socket`, "hint: make it, or choose another path"}},
		{"serve --unix doc.go/s", 1, []string{`error: there is no folder "doc.go" for the unix socket`, "hint: make it, or choose another path"}},
		{"serve --unix " + strings.Repeat("x", 108), 1, []string{"error: the path of the unix socket is too long: 108 bytes, and 107 is the most: ", "hint: choose a shorter one"}},
		{"serve --fd", 1, []string{"error: --fd: no socket was passed: LISTEN_FDS is not set", "hint: start the program by a socket unit of systemd, or say which descriptor: --fd=3"}},
		{"serve --fd=web", 1, []string{"error: --fd: no socket was passed: LISTEN_FDS is not set", "hint: start the program by a socket unit"}},
		{"serve --fd=1000", 1, []string{"error: --fd: descriptor 1000 is not open", "hint: pass a socket that listens"}},
		{"serve --fd 3", 2, []string{`error: serve does not know what to do with "3": the value of --fd follows a =`, "hint: say --fd=3"}},
		{"serve 8000", 2, []string{`error: serve does not know what to do with "8000"`, "hint: usage: manage serve"}},
		{"serve --adr 8000", 2, []string{"error: serve has no option --adr", "hint: did you mean --addr?"}},
		{"serve --unix s --unix-mode 888", 2, []string{`error: serve: --unix-mode: "888" is no file mode`, "hint: write three octal digits, such as 660 or 666"}},
		{"serve --unix s --unix-mode 7777", 2, []string{`error: serve: --unix-mode: "7777" is no file mode`, "hint: write three octal digits"}},
		{"serve --unix-mode 600", 2, []string{"error: serve: --unix-mode is about the file of --unix", "hint: add --unix PATH, or leave --unix-mode out"}},
		{"serve --reuse-port --fd", 2, []string{"error: serve: --reuse-port is about addresses", "hint: add --addr ADDRESS, or leave --reuse-port out"}},
		{"runserver 8000 8001", 2, []string{`error: runserver does not know what to do with "8001"`, "hint: usage: manage runserver [ADDRESS]"}},
	} {
		t.Run(m.args, func(t *testing.T) {
			t.Parallel()
			r := run(t, polls(t), strings.Fields(m.args)...)
			if r.status != m.status {
				t.Errorf("ends with %d, want %d", r.status, m.status)
			}
			lines := strings.Split(strings.TrimSuffix(r.errors, "\n"), "\n")
			if len(lines) != 2 || !strings.HasPrefix(lines[0], m.says[0]) || !strings.HasPrefix(lines[1], "hint: ") || !strings.Contains(lines[1], m.says[1]) {
				t.Errorf("says\n%swant\n%s", r.errors, strings.Join(m.says, "\n"))
			}
		})
	}
}

func TestBrokenSettingsAreExplainedOneByOne(t *testing.T) {
	t.Parallel()
	want := "error: settings.yaml:3: DEBG: is unknown\nhint: did you mean DEBUG?\n" +
		"error: settings.yaml:7: LISTEN: \"here\": is no address\nhint: write host:port\n"
	for _, args := range []string{"runserver", "migrate", "showmigrations"} {
		if r := run(t, broken(), args); r.status != 1 || r.errors != want || r.out != "" {
			t.Errorf("%s: %+v", args, r)
		}
	}
	r := run(t, broken(), "close-polls")
	want = "error: unknown command \"close-polls\"\n" +
		"hint: commands of apps are not known, because the site cannot be made: settings.yaml:3: DEBG: is unknown\n"
	if r.status != 2 || r.errors != want {
		t.Errorf("a command of an app: %+v", r)
	}
}

// TestPortInUse: the address is named, and what to do.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().(*net.TCPAddr)
	for _, command := range []string{"runserver", "serve --addr"} {
		r := run(t, polls(t), append(strings.Fields(command), address.String())...)
		want := fmt.Sprintf("error: %s is in use: another program listens there\nhint: stop that program, or choose another port: manage %s %d\n", address, command, address.Port+1)
		if r.status != 1 || r.errors != want || strings.Contains(r.out, "Serving") {
			t.Errorf("%s on a taken port: %+v, want %s", command, r, want)
		}
	}
}

func TestDatabaseUnreachable(t *testing.T) {
	t.Parallel()
	closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := closed.Addr().(*net.TCPAddr).Port
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"runserver 127.0.0.1:0", "migrate", "showmigrations"} {
		env := polls(t, func(s *app.Settings, _ *app.Options) {
			s.Databases[db.DefaultAlias] = db.Settings{
				Engine: "postgres", Name: "polls", User: "polls", Host: "127.0.0.1", Port: port,
				AcquireTimeout: time.Second, ConnectTimeout: time.Second,
			}
		})
		r := run(t, env, strings.Fields(args)...)
		if r.status != 1 || !strings.HasPrefix(r.errors, `error: the database "default" cannot be reached: `) ||
			!strings.Contains(r.errors, "connection refused") || !strings.Contains(r.errors, "\nhint: start it, or correct DATABASES.default (") ||
			strings.Contains(r.out, "Serving") {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

func TestNoDatabaseAtAll(t *testing.T) {
	t.Parallel()
	env := polls(t, func(s *app.Settings, _ *app.Options) { s.Databases = nil })
	for _, args := range []string{"migrate", "showmigrations"} {
		r := run(t, env, args)
		if want := "error: this site has no database\nhint: add DATABASES to its settings\n"; r.status != 1 || r.errors != want {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

func TestNoAppAtAll(t *testing.T) {
	t.Parallel()
	env := polls(t, func(_ *app.Settings, o *app.Options) { o.Apps = nil })
	for _, args := range []string{"check polls", "showmigrations polls", "makemigrations --empty polls"} {
		r := run(t, env, strings.Fields(args)...)
		if want := "error: there is no app \"polls\"\nhint: the site has no apps; list them in app.Options.Apps\n"; r.status != 1 || r.errors != want {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

// TestEmptyAllowedHostsError is Django's ManageRunserverEmptyAllowedHosts
// test_empty_allowed_hosts_error.
func TestEmptyAllowedHostsError(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"runserver 127.0.0.1:0", "serve --addr 127.0.0.1:0"} {
		r := run(t, polls(t, func(s *app.Settings, _ *app.Options) { s.Debug = false }), strings.Fields(command)...)
		if r.status != 1 || !strings.HasPrefix(r.errors, "error: ALLOWED_HOSTS is empty and DEBUG is false") {
			t.Errorf("%s: %+v", command, r)
		}
	}
}

func TestWrongExtraCommands(t *testing.T) {
	t.Parallel()
	for name, extra := range map[string][]app.Command{
		"without a name": {{Run: noop}},
		"without a Run":  {{Name: "idle"}},
		"twice":          {{Name: "idle", Run: noop}, {Name: "idle", Run: noop}},
	} {
		env := commands.Env{Commands: extra}
		if r := run(t, env, "version"); r.status != 1 || !strings.Contains(r.errors, "hint: correct it where commands.Main is called") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestPassedSocketsThatAreNone: what LISTEN_FDS and LISTEN_PID can say wrong.
func TestPassedSocketsThatAreNone(t *testing.T) {
	t.Parallel()
	own := strconv.Itoa(os.Getpid())
	for _, m := range []struct{ fds, pid, says string }{
		{"none", own, "error: --fd: no socket was passed: LISTEN_FDS is \"none\"\nhint: systemd sets it; "},
		{"0", own, "error: --fd: no socket was passed: LISTEN_FDS is \"0\"\nhint: systemd sets it; "},
		{"1", "1", "error: --fd: the sockets were passed to another process: LISTEN_PID is \"1\", and this is " + own + "\nhint: start the program itself, without \"go run\"; a shell has to exec it\n"},
		{"1", "", "error: --fd: the sockets were passed to another process: LISTEN_PID is \"\", and this is " + own + "\nhint: start the program itself"},
	} {
		env := polls(t)
		env.Getenv = func(key string) string { return map[string]string{"LISTEN_FDS": m.fds, "LISTEN_PID": m.pid}[key] }
		if r := run(t, env, "serve", "--fd"); r.status != 1 || !strings.HasPrefix(r.errors, m.says) {
			t.Errorf("LISTEN_FDS=%s LISTEN_PID=%s: %+v", m.fds, m.pid, r)
		}
	}
}

// TestChecksKeepASiteFromBeingServed: as they do for runserver.
func TestChecksKeepASiteFromBeingServed(t *testing.T) {
	t.Parallel()
	env := polls(t, func(_ *app.Settings, o *app.Options) {
		o.Apps[1].Checks = []app.Check{func(*app.Site) []app.Problem {
			return []app.Problem{{ID: "polls.E001", Level: slog.LevelError, Message: "there are two ballot boxes"}}
		}}
	})
	r := run(t, env, "serve", "--addr", "127.0.0.1:0")
	if r.status != 1 || !strings.Contains(r.errors, "(polls.E001) there are two ballot boxes") || !strings.Contains(r.errors, "error: 1 problem keeps the site from being served\n") {
		t.Errorf("serve: %+v", r)
	}
}

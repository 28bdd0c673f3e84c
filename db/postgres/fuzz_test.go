package postgres_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
)

// statement makes a statement of one that exists: each three bytes of the recipe change
// one of its words. Few of what comes out means anything to PostgreSQL, and that is
// enough.
func statement(recipe []byte) string {
	seeds := append(leaving(), leavingNothing()...)
	if len(recipe) == 0 {
		return ""
	}
	words := strings.Fields(seeds[int(recipe[0])%len(seeds)])
	odd := append([]string{
		"SET", "LOCAL", "local", `"local"`, "transaction", `"transaction"`, "constraints", "session", "local.tenant", `"local".tenant`, "transaction.tenant",
		"TEMP", `"temp"`, "temporary", "pg_temp.scratch", "CREATE", "TABLE", "INTO", "AS", "WITH", "HOLD", "WITHOUT", "EXPLAIN", "ANALYZE", "(ANALYZE)",
		"EXECUTE", "PREPARE", "DEALLOCATE", "DISCARD", "ALL", "BEGIN;", "; COMMIT", ";", "COPY", "(", ")", "TO", "STDOUT", "=", "1", "'1'", "x", ",",
		"SELECT 1", "app.tenant", "set_config('app.tenant', '7', false)", "UNLISTEN *", "LISTEN x", "pg_advisory_lock(7)", "RETURNING", "'", `"`, "$$", "--", "/*", "*/",
		"GLOBAL", "UNLOGGED", "RECURSIVE", "VIEW v", "MATERIALIZED", "FUNCTION", "RULE", "LATERAL", "FROM", "kept", "NOTIFY", "SECURITY", "ROLE", "NONE",
	}, strings.Fields(seeds[len(recipe)%len(seeds)])...)
	for recipe = recipe[1:]; len(recipe) >= 3; recipe = recipe[3:] {
		at, word := 0, odd[int(recipe[2])%len(odd)]
		if len(words) > 0 {
			at = int(recipe[1]) % len(words)
		}
		switch change := recipe[0] % 8; {
		case change == 0 || len(words) == 0:
			words = slices.Insert(words, at, word)
		case change == 1:
			words[at] = word
		case change == 2:
			words = slices.Delete(words, at, at+1)
		case change == 3:
			words[at] = strings.ToUpper(words[at])
		case change == 4:
			words[at] = `"` + words[at] + `"`
		case change == 5:
			words[at] = "/*" + word + "*/" + words[at]
		case change == 6:
			words = append(words, ";", seeds[int(recipe[2])%len(seeds)])
		case change == 7:
			words = append(strings.Fields(seeds[int(recipe[2])%len(seeds)]+" ;"), words...)
		}
	}
	return strings.Join(words, " ")
}

// The server is the judge of whatever it accepts: what changes the session is never
// called clean, and a reset takes it back.
func FuzzDirties_TheServerIsTheJudge(f *testing.F) {
	seeds := append(leaving(), leavingNothing()...)
	for i := range seeds {
		f.Add([]byte{byte(i)})
	}
	f.Add([]byte("\x04\x01\x01\x05\x01\x02\x28")) // SET "local" ...
	srv := running(f)
	s := settings(f, srv)
	s.Name = database(f, srv)
	s.Options["statement_timeout"], s.Options["lock_timeout"] = "1s", "100ms"
	d := open(f, s)
	if err := srv.Exec(f.Context(), s.Name, "CREATE TABLE kept (n int)", "CREATE TABLE transfer (n int)"); err != nil {
		f.Fatal(err)
	}
	c := connect(f, d)
	fresh := text(f, c, session)
	f.Fuzz(func(t *testing.T, recipe []byte) {
		query := statement(recipe)
		if endsHere(query) {
			return
		}
		accepted := tryExec(c, query) == nil
		if !accepted && !strings.Contains(query, ";") {
			return // one statement, and it was refused
		}
		if in, _ := d.InTransaction(c); in {
			_ = tryExec(c, "COMMIT") // a failed one rolls back
		}
		after := text(t, c, session)
		if after != fresh && !d.Dirties(query) {
			t.Errorf("%q is called clean (accepted: %t); the session was\n%s\nand is\n%s", query, accepted, fresh, after)
		}
		if after == fresh && !d.Dirties(query) {
			return
		}
		if err := d.Reset(context.Background(), c); err != nil {
			t.Fatalf("%q: %v", query, err)
		}
		if again := text(t, c, session); again != fresh {
			t.Fatalf("%q: after a reset the session is\n%s\nand was\n%s", query, again, fresh)
		}
	})
}

// endsHere reports whether a statement is about the database of the test or its rows of
// settings, and not about its session.
func endsHere(query string) bool {
	low := strings.ToLower(query)
	for _, word := range []string{"database", "system", "user"} {
		if strings.Contains(low, word) {
			return true
		}
	}
	return false
}

// What the settings say arrives at pgx as it is, whatever is in it, and nothing else
// does. What is refused is refused in words that name the key and no secret.
func FuzzSettings_ArriveAtPgxAsTheyAre(f *testing.F) {
	f.Add("db", "app", "secret", "localhost", 5432, "search_path", "app, public")
	f.Add(`it's \ "quoted"`, `o'brien\`, `' host='evil`, "/run/postgresql", 0, "options", "-c geqo=off")
	f.Add("a b=c", "", "p%40ss", "a,b,c", 1, "application_name", "' sslmode='disable")
	f.Add("x", "u", "", "::1", 65535, "sslmode", "verify-full")
	f.Add("postgres://h/other?user=evil", "u", "", "h", 0, "app.tenant", "é\n\t\\'")
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			f.Setenv(name, "")
			_ = os.Unsetenv(name)
		}
	}
	f.Fuzz(func(t *testing.T, name, user, password, host string, port int, key, value string) {
		s := db.Settings{Engine: "postgres", Name: name, User: user, Password: db.Secret(password), Host: host, Port: port, Options: map[string]string{key: value}}
		if err := s.Validate("x"); err != nil {
			return // before the engine is asked
		}
		cfg, err := postgres.Configure("x", s.WithDefaults())
		if err != nil {
			for _, one := range flatten(err) {
				e, ok := errors.AsType[*db.SettingsError](one)
				if !ok || e.Key == "" || e.Problem == "" {
					t.Errorf("%v names no key", one)
				}
				if len(password) > 8 && strings.Contains(e.Error(), password) && !strings.Contains(name+user+host+key+value, password) {
					t.Errorf("%v has the password", e)
				}
			}
			return
		}
		arrived(t, s, cfg, key, value)
	})
}

func arrived(t *testing.T, s db.Settings, cfg *pgx.ConnConfig, key, value string) {
	t.Helper()
	same := func(what, got, want string) {
		t.Helper()
		if want != "" && got != want {
			t.Errorf("%s is %q, want %q", what, got, want)
		}
	}
	same("the database", cfg.Database, s.Name)
	same("the user", cfg.User, s.User)
	same("the password", cfg.Password, string(s.Password))
	hosts := []string{cfg.Host}
	for _, other := range cfg.Fallbacks {
		if other.Host != hosts[len(hosts)-1] { // once more, without TLS
			hosts = append(hosts, other.Host)
		}
	}
	if want := slices.Compact(strings.Split(s.Host, ",")); s.Host != "" && !slices.Equal(hosts, want) {
		t.Errorf("the hosts are %q, want %q", hosts, want)
	}
	if s.Port != 0 && cfg.Port != uint16(s.Port) { //nolint:gosec // Validate has looked at it
		t.Errorf("the port is %d, want %d", cfg.Port, s.Port)
	}
	// pgx parses the string as it was written.
	again, err := pgx.ParseConfig(postgres.ConnString(s))
	if err != nil {
		t.Fatalf("a second time: %v", err)
	}
	if again.Host != cfg.Host || again.Database != cfg.Database || again.User != cfg.User || again.Port != cfg.Port {
		t.Errorf("a second time it is %v, was %v", again, cfg)
	}
	params := maps.Clone(cfg.RuntimeParams)
	ours := []string{"application_name", "timezone", "standard_conforming_strings", "role", key}
	if got, ok := params[key]; ok && got != value && key != "timezone" && key != "standard_conforming_strings" {
		t.Errorf("the parameter %s is %q, want %q", key, got, value)
	}
	maps.DeleteFunc(params, func(k, _ string) bool { return slices.Contains(ours, k) })
	if len(params) > 0 {
		t.Errorf("parameters that nobody has asked for: %q", params)
	}
}

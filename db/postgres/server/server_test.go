package server_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db/postgres/server"
)

func query(t *testing.T, srv *server.Server, sql string, args ...string) string {
	t.Helper()
	rows, err := srv.Query(t.Context(), "postgres", sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	return rows[0][0]
}

func accepts(t *testing.T, network, address string) bool {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), network, address)
	if err != nil {
		return false
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	return true
}

func tcp(srv *server.Server) string { return net.JoinHostPort(srv.Host, strconv.Itoa(srv.Port)) }

func socket(srv *server.Server) string {
	return filepath.Join(srv.SocketDir, ".s.PGSQL."+strconv.Itoa(srv.Port))
}

func TestStart_ServesOnTCPAndOnASocketWithTheSettingsGiven(t *testing.T) {
	t.Parallel()
	srv := start(t, server.Options{Settings: map[string]string{"max_connections": "7", "fsync": "on"}})
	for sql, want := range map[string]string{
		"SHOW max_connections":  "7",
		"SHOW fsync":            "on", // the caller's word wins
		"SHOW full_page_writes": "off",
		"SHOW server_encoding":  "UTF8",
		"SHOW TimeZone":         "UTC",
		"SELECT 'ä' = $1":       "t",
	} {
		var args []string
		if strings.Contains(sql, "$1") {
			args = []string{"ä"}
		}
		if got := query(t, srv, sql, args...); got != want {
			t.Errorf("%s: got %q, want %q", sql, got, want)
		}
	}
	if !accepts(t, "tcp", tcp(srv)) || !accepts(t, "unix", socket(srv)) {
		t.Errorf("not listening on both %s and %s", tcp(srv), socket(srv))
	}
	if len(socket(srv)) > 107 {
		t.Errorf("%q is too long for a socket", socket(srv))
	}
}

func TestStart_RunsUnprivilegedAlsoForRoot(t *testing.T) {
	t.Parallel()
	srv := running(t)
	status, err := os.ReadFile(filepath.Join(srv.SocketDir, "data", "PG_VERSION"))
	if err != nil || len(status) == 0 {
		t.Fatalf("data folder: %q, %v", status, err)
	}
	if os.Geteuid() != 0 {
		t.Skip("this process is not root's")
	}
	uid := strings.Fields(strings.SplitAfter(query(t, srv, "SELECT pg_read_file('/proc/self/status')"), "Uid:")[1])[0]
	if uid == "0" {
		t.Error("the server runs as root")
	}
}

func TestStart_SaysWhatTheServerSaid(t *testing.T) {
	t.Parallel()
	installed(t)
	_, err := server.Start(t.Context(), server.Options{Settings: map[string]string{"max_connections": "many"}})
	if err == nil || !strings.Contains(err.Error(), "max_connections") || !strings.Contains(err.Error(), "many") {
		t.Errorf("got %v", err)
	}
}

func TestStart_ChoosesItsAddressItself(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"port", "listen_addresses", "unix_socket_directories", "data_directory"} {
		_, err := server.Start(t.Context(), server.Options{Settings: map[string]string{key: "1"}})
		if err == nil || !strings.Contains(err.Error(), strconv.Quote(key)) {
			t.Errorf("%s: got %v", key, err)
		}
	}
}

func TestStart_IgnoresPGVariables(t *testing.T) {
	for key, value := range map[string]string{
		"PGHOST": "no.such.host.invalid", "PGPORT": "1", "PGUSER": "nobody", "PGDATABASE": "none", "PGOPTIONS": "-c fsync=nonsense",
		"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/none", "PGDATA": "/none", "PGTARGETSESSIONATTRS": "standby",
	} {
		t.Setenv(key, value)
	}
	if got := query(t, start(t, server.Options{}), "SELECT current_user"); got != "postgres" {
		t.Errorf("got %q", got)
	}
}

func TestFind_SaysWhereItLookedAndHowToGetIt(t *testing.T) {
	t.Setenv("PGBIN", t.TempDir())
	_, err := server.Find()
	if !errors.Is(err, server.ErrNotInstalled) || !strings.Contains(err.Error(), os.Getenv("PGBIN")) {
		t.Errorf("PGBIN without a server: %v", err)
	}
	if _, err := server.Start(t.Context(), server.Options{}); !errors.Is(err, server.ErrNotInstalled) {
		t.Errorf("Start: %v", err)
	}
	t.Setenv("PGBIN", "")
	t.Setenv("PATH", t.TempDir())
	dir, err := server.Find()
	switch {
	case err == nil && filepath.Base(dir) != "bin":
		t.Errorf("found %q", dir)
	case err != nil && (!errors.Is(err, server.ErrNotInstalled) || !strings.Contains(err.Error(), "PGBIN") || !strings.Contains(err.Error(), "install")):
		t.Errorf("nothing installed: %v", err)
	}
}

func TestStop_RemovesEverythingAndKeepsTheLog(t *testing.T) {
	t.Parallel()
	srv := start(t, server.Options{})
	for range 2 {
		if err := srv.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(srv.SocketDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder: %v", err)
	}
	if accepts(t, "tcp", tcp(srv)) {
		t.Error("still listening")
	}
	if !strings.Contains(srv.Log(), "ready to accept connections") {
		t.Errorf("log: %q", srv.Log())
	}
	if err := srv.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("Up after Stop: %v", err)
	}
	if err := srv.Down(t.Context(), server.Fast); err != nil {
		t.Errorf("Down after Stop: %v", err)
	}
}

func TestRestart_KeepsPortAndData(t *testing.T) {
	t.Parallel()
	srv := start(t, server.Options{Settings: map[string]string{"synchronous_commit": "on"}})
	if err := srv.Exec(t.Context(), "postgres", "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	for n, mode := range []server.Mode{server.Fast, server.Smart, server.Immediate} {
		port := srv.Port
		began := query(t, srv, "SELECT pg_postmaster_start_time()")
		if err := srv.Restart(t.Context(), mode); err != nil {
			t.Fatal(err)
		}
		if got := query(t, srv, "SELECT count(*) FROM kept"); got != strconv.Itoa(n+1) || srv.Port != port {
			t.Errorf("mode %d: %s rows on port %d, want %d on %d", mode, got, srv.Port, n+1, port)
		}
		if query(t, srv, "SELECT pg_postmaster_start_time()") == began {
			t.Errorf("mode %d: the same server as before", mode)
		}
		if err := srv.Exec(t.Context(), "postgres", "INSERT INTO kept VALUES (1)"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDown_LooksLikeAnOutageUntilUp(t *testing.T) {
	t.Parallel()
	srv := start(t, server.Options{})
	for range 2 {
		if err := srv.Down(t.Context(), server.Immediate); err != nil {
			t.Fatal(err)
		}
	}
	if accepts(t, "tcp", tcp(srv)) {
		t.Error("listening while down")
	}
	if _, err := srv.Query(t.Context(), "postgres", "SELECT 1"); err == nil {
		t.Error("answers while down")
	}
	for range 2 {
		if err := srv.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := query(t, srv, "SELECT 1"); got != "1" {
		t.Errorf("got %q", got)
	}
}

func TestDown_WaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	srv := start(t, server.Options{})
	session, err := new(net.Dialer).DialContext(t.Context(), "tcp", tcp(srv))
	if err != nil {
		t.Fatal(err)
	}
	// A session that has logged in keeps a smart shutdown waiting.
	login(t, session, "postgres", "waited for")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Down(ctx, server.Smart); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := session.Close(); err != nil {
		t.Fatal(err)
	}
	if err := srv.Down(t.Context(), server.Smart); err != nil {
		t.Error(err)
	}
}

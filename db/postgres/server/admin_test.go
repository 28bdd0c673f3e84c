package server_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// login makes a session on the connection and returns when it is ready.
func login(t *testing.T, c net.Conn, database, application string) {
	t.Helper()
	parameters := "user\x00postgres\x00database\x00" + database + "\x00application_name\x00" + application + "\x00\x00"
	message := binary.BigEndian.AppendUint32(nil, uint32(8+len(parameters)))
	message = binary.BigEndian.AppendUint32(message, 3<<16)
	if _, err := c.Write(append(message, parameters...)); err != nil {
		t.Fatal(err)
	}
	for header := make([]byte, 5); header[0] != 'Z'; {
		if _, err := io.ReadFull(c, header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(header[1:]))-4); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDatabases_AreMadeFromTemplatesAndDroppedUnderTheirSessions(t *testing.T) {
	t.Parallel()
	srv := running(t)
	const name, copied = `odd "name" öf a-database`, "copied"
	t.Cleanup(func() {
		if err := srv.DropDatabase(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	steps := []error{
		srv.CreateDatabase(t.Context(), name, ""),
		srv.Exec(t.Context(), name, "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2)"),
		srv.CreateDatabase(t.Context(), copied, name),
	}
	for i, err := range steps {
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	rows, err := srv.Query(t.Context(), copied, "SELECT n, null FROM t ORDER BY n")
	if err != nil || len(rows) != 2 || !slices.Equal(rows[1], []string{"2", ""}) {
		t.Errorf("got %q, %v", rows, err)
	}

	session, err := new(net.Dialer).DialContext(t.Context(), "unix", socket(srv))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	login(t, session, copied, "user of the copy")
	for range 2 {
		if err := srv.DropDatabase(t.Context(), copied); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.Copy(io.Discard, session); err != nil {
		t.Errorf("the session in it: %v", err)
	}
	if err := srv.CreateDatabase(t.Context(), name, ""); err == nil || !strings.Contains(err.Error(), "42P04") {
		t.Errorf("a second one of that name: %v", err)
	}
}

func TestBackends_AreFoundByApplicationAndDatabaseAndTerminated(t *testing.T) {
	t.Parallel()
	srv := running(t)
	if err := srv.CreateDatabase(t.Context(), "counted", ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.DropDatabase(context.Background(), "counted"); err != nil {
			t.Error(err)
		}
	})
	sessions := make([]net.Conn, 3)
	for i := range sessions {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", tcp(srv))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		login(t, c, "counted", "counter")
		sessions[i] = c
	}
	for _, name := range []string{"counter", "counted"} {
		if pids, err := srv.Backends(t.Context(), name); err != nil || len(pids) != 3 {
			t.Errorf("%s: %v, %v", name, pids, err)
		}
	}
	pids, err := srv.Backends(t.Context(), "counter")
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Terminate(t.Context(), pids[0], pids[1]); err != nil {
		t.Fatal(err)
	}
	left, err := srv.Backends(t.Context(), "counter")
	if err != nil || !slices.Equal(left, pids[2:]) {
		t.Errorf("left %v, want %v, %v", left, pids[2:], err)
	}
	if _, err := io.Copy(io.Discard, sessions[0]); err != nil {
		t.Errorf("the oldest session did not end: %v", err)
	}
	if err := srv.Terminate(t.Context(), pids[0]); err == nil {
		t.Error("a session ended twice")
	}
}

func TestExec_StopsAtTheFirstError(t *testing.T) {
	t.Parallel()
	srv := running(t)
	t.Cleanup(func() {
		if err := srv.Exec(context.Background(), "postgres", "DROP TABLE a"); err != nil {
			t.Error(err)
		}
	})
	err := srv.Exec(t.Context(), "postgres", "CREATE TABLE a (n int)", "CREATE TABLE b (n int); SELECT 1/0", "CREATE TABLE c (n int)")
	if err == nil || !strings.Contains(err.Error(), "1/0") || !strings.Contains(err.Error(), "22012") {
		t.Errorf("got %v", err)
	}
	if got := query(t, srv, "SELECT string_agg(relname, ',') FROM pg_class WHERE relname IN ('a', 'b', 'c')"); got != "a" {
		t.Errorf("made %q, want a alone", got)
	}
	if _, err := srv.Query(t.Context(), "none", "SELECT 1"); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("no such database: %v", err)
	}
}

package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/db/postgres/server"
)

func TestClassify_WhatTheServerSays(t *testing.T) {
	t.Parallel()
	srv := running(t)
	s := settings(t, srv)
	s.Name = database(t, srv)
	if err := srv.Exec(t.Context(), s.Name, "CREATE TABLE parent (id int PRIMARY KEY CHECK (id < 100), t varchar(3) NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	s.Options["idle_in_transaction_session_timeout"] = "0"
	d := open(t, s)
	for query, want := range map[string]pool.Class{
		"SELECT 1/0":                                 pool.Harmless,
		"SELECT 'x'::int":                            pool.Harmless,
		"INSERT INTO parent VALUES (1, 'long')":      pool.Harmless,
		"INSERT INTO parent VALUES (1)":              pool.Harmless,
		"INSERT INTO parent VALUES (100, 'x')":       pool.Harmless,
		"INSERT INTO parent VALUES (1,'x'), (1,'x')": pool.Harmless,
		"nonsense":                            pool.Doubtful,
		"SELECT * FROM none":                  pool.Doubtful,
		"BEGIN READ ONLY; DELETE FROM parent": pool.Doubtful,
		"SET LOCAL statement_timeout = 1; SELECT pg_sleep(600)":    pool.Canceled,
		"DO $$ BEGIN RAISE 'mine'; END $$":                         pool.Doubtful,
		"SELECT pg_terminate_backend(pg_backend_pid())":            pool.Lost,
		"BEGIN; SET LOCAL idle_in_transaction_session_timeout = 1": pool.Foreign, // no error yet
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			c := connect(t, d)
			err := tryExec(c, query)
			if got := d.Classify(err); got != want {
				t.Errorf("class %d of %v, want %d", got, err, want)
			}
			if got := d.Classify(fmt.Errorf("view: %w", err)); err != nil && got != want {
				t.Errorf("wrapped: class %d", got)
			}
			if want == pool.Foreign {
				for d.Peek(c) == nil {
				}
				if err := tryExec(c, "SELECT 1"); d.Classify(err) != pool.Lost {
					t.Errorf("25P03: class %d of %v", d.Classify(err), err)
				}
			}
			if want == pool.Lost {
				if err := tryExec(c, "SELECT 1"); !errors.Is(err, driver.ErrBadConn) || d.Classify(err) != pool.Lost {
					t.Errorf("afterwards: %v", err)
				}
			}
		})
	}
}

func TestClassify_WhatPgxAndOthersSay(t *testing.T) {
	t.Parallel()
	d := open(t, dbSettings())
	pg := func(severity, code string) error {
		return &pgconn.PgError{Severity: "FEHLER", SeverityUnlocalized: severity, Code: code}
	}
	for _, tt := range []struct {
		err  error
		want pool.Class
	}{
		{nil, pool.Foreign},
		{sql.ErrNoRows, pool.Foreign},
		{errors.New("sql: Scan error on column index 0"), pool.Foreign},
		{context.Canceled, pool.Foreign},
		{context.DeadlineExceeded, pool.Foreign},
		{driver.ErrBadConn, pool.Lost},
		{io.EOF, pool.Lost},
		{io.ErrUnexpectedEOF, pool.Lost},
		{net.ErrClosed, pool.Lost},
		{pgconn.ErrConnClosed, pool.Lost},
		{syscall.ECONNRESET, pool.Lost},
		{&net.OpError{Op: "read", Err: errors.New("x")}, pool.Lost},
		{errors.Join(errors.New("x"), pg("ERROR", "23505")), pool.Harmless},
		{pg("ERROR", "23505"), pool.Harmless},
		{pg("FATAL", "23505"), pool.Lost},
		{pg("PANIC", "XX000"), pool.Lost},
		{pg("ERROR", "08006"), pool.Lost},
		{pg("ERROR", "08P01"), pool.Lost}, // PgBouncer's query_wait_timeout
		{pg("ERROR", "57P01"), pool.Lost},
		{pg("ERROR", "57P05"), pool.Lost},
		{pg("ERROR", "25P03"), pool.Lost},
		{pg("ERROR", "25P04"), pool.Lost},
		{pg("ERROR", "57014"), pool.Canceled},
		{pg("ERROR", "25006"), pool.Doubtful},
		{pg("ERROR", "25P02"), pool.Doubtful},
		{pg("ERROR", "40001"), pool.Doubtful},
		{pg("ERROR", ""), pool.Doubtful},
		{&pgconn.PgError{Severity: "FATAL", Code: "28000"}, pool.Lost}, // before 9.6 there was one severity
	} {
		if got := d.Classify(tt.err); got != tt.want {
			t.Errorf("class %d of %v, want %d", got, tt.err, tt.want)
		}
	}
}

func TestClassify_AContextThatEndedTooEarlyDoesNoHarm(t *testing.T) {
	t.Parallel()
	d := open(t, settings(t, running(t)))
	c := connect(t, d)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := d.Ping(ended, c)
	if err == nil || d.Classify(err) != pool.Foreign {
		t.Errorf("class %d of %v", d.Classify(err), err)
	}
	exec(t, c, "SELECT 1")
}

// answering is a server that answers each startup with an error and hangs up; without
// a code it hangs up at once.
func answering(t *testing.T, code string) db.Settings {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := pgproto3.NewBackend(c, c)
			if _, err := b.ReceiveStartupMessage(); err == nil && code != "" {
				b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: "no"})
				_ = b.Flush()
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-served
	})
	return db.Settings{
		Name: "x", Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, User: "u",
		Options: map[string]string{"sslmode": "disable"},
	}
}

func TestTransient_IsWhatMayPass(t *testing.T) {
	t.Parallel()
	refusing := func(t *testing.T) db.Settings {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return db.Settings{Name: "x", Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
	}
	says := func(code string) func(t *testing.T) db.Settings {
		return func(t *testing.T) db.Settings { return answering(t, code) }
	}
	for name, tt := range map[string]struct {
		settings func(t *testing.T) db.Settings
		want     bool
	}{
		"refused": {refusing, true},
		"no socket": {func(t *testing.T) db.Settings {
			return db.Settings{Name: "x", Host: filepath.Join(t.TempDir(), "none")}
		}, true},
		"hangs up":         {says(""), true},
		"starts up":        {says("57P03"), true},
		"shuts down":       {says("57P01"), true},
		"is full":          {says("53300"), true},
		"wrong password":   {says("28P01"), false},
		"not allowed":      {says("28000"), false},
		"no such database": {says("3D000"), false},
		"out of memory":    {says("53200"), false},
		"one of two hosts is full": {func(t *testing.T) db.Settings {
			s := answering(t, "53300")
			s.Host += ",127.0.0.1"
			return s
		}, true},
		"no such host": {func(t *testing.T) db.Settings { return db.Settings{Name: "x", Host: "none.invalid"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t, tt.settings(t))
			_, err := d.Connect(t.Context())
			if err == nil || d.Transient(err) != tt.want {
				t.Errorf("transient %v: %v", d.Transient(err), err)
			}
		})
	}
}

func TestTransient_OfNothingAndOfContexts(t *testing.T) {
	t.Parallel()
	d := open(t, answering(t, ""))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.Connect(ended)
	for _, err := range []error{nil, errors.New("x"), context.DeadlineExceeded, err} {
		if d.Transient(err) {
			t.Errorf("%v: transient", err)
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTransient_AFullServer(t *testing.T) {
	t.Parallel()
	running(t) // skips without PostgreSQL
	srv, err := server.Start(t.Context(), server.Options{Settings: map[string]string{"max_connections": "2", "superuser_reserved_connections": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Stop()
	d := open(t, settings(t, srv))
	connect(t, d)
	first := connect(t, d)
	_, err = d.Connect(t.Context())
	if !d.Transient(err) {
		t.Errorf("not transient: %v", err)
	}
	// Close has given the slot back when it returns.
	gone := closed(t, d, first)
	for {
		c, err := d.Connect(t.Context())
		if err == nil {
			closed(t, d, c)
			return
		}
		if gone || !d.Transient(err) {
			t.Fatal(err)
		}
	}
}

package db_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres/server"
)

// asksForPasswords makes the server ask one role for its password.
func asksForPasswords(t *testing.T, srv *server.Server, role string) {
	t.Helper()
	rows, err := srv.Query(t.Context(), "postgres", "SHOW hba_file")
	if err != nil {
		t.Fatal(err)
	}
	ask(t, srv,
		fmt.Sprintf("COPY (VALUES ('host all %s all scram-sha-256'), ('host all all all trust'), ('local all all trust')) TO '%s'", role, rows[0][0]),
		"SELECT pg_reload_conf()")
	await(t, "asked for a password", func() bool {
		rows, err := srv.Query(t.Context(), "postgres", "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'scram-sha-256' AND error IS NULL")
		return err == nil && rows[0][0] == "1"
	})
}

// The password is in a file, as libpq's is, and rotated: first on the server, then in
// the file. What is open stays open, and what is opened reads the file.
func TestF71_ARotatedPasswordCostsNoRequest(t *testing.T) {
	t.Parallel()
	srv := ownServer(t, nil)
	file := filepath.Join(t.TempDir(), "pgpass")
	rotate := func(password string) {
		t.Helper()
		next := file + ".next"
		if err := os.WriteFile(next, []byte("*:*:*:shop:"+password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, file); err != nil {
			t.Fatal(err)
		}
	}
	rotate("first")
	ask(t, srv, "CREATE ROLE shop LOGIN PASSWORD 'first'")
	asksForPasswords(t, srv, "shop")
	settings := on(srv)
	settings.User = "shop"
	settings.Options["passfile"] = file
	conns := dbtest.Open(t, settings)
	together(t, conns, 2)

	ask(t, srv, "ALTER ROLE shop PASSWORD 'second'")
	happened(t, "the password is another")
	for range 10 {
		together(t, conns, 2) // those that are open
	}
	giveBack := hold(t, conns, 2)
	served := make(chan error, 1)
	go func() {
		served <- try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT 1") })
	}()
	await(t, "somebody waits for a third", func() bool { return stats(conns).Waiting == 1 })
	rotate("second")
	giveBack()
	if err := <-served; err != nil {
		t.Error(err)
	}
	together(t, conns, 5)
	expect(t, "opened", stats(conns).Opened, 5)
	expect(t, "acquires that failed", stats(conns).Refused, 0)

	// One that is wrong for a while is told at once, and forgotten.
	rotate("wrong")
	later := dbtest.Open(t, settings)
	expectText(t, "the error", refusal(t, t.Context(), later).Error(), "28P01")
	rotate("second")
	together(t, later, 2)
}

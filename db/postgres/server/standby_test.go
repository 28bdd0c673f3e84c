package server_test

import (
	"strings"
	"testing"

	"github.com/goquintet/quintet/db/postgres/server"
)

func TestStandby_RefusesWhatAStandbyRefusesUntilItIsPromoted(t *testing.T) {
	t.Parallel()
	srv := start(t, server.Options{Settings: map[string]string{"wal_level": "replica"}})
	query(t, srv, "SELECT 1")
	if err := srv.Standby(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := query(t, srv, "SELECT pg_is_in_recovery()"); got != "t" {
		t.Errorf("a hot standby says of its recovery %q", got)
	}
	if err := srv.Exec(t.Context(), "postgres", "CREATE TABLE written (n int)"); err == nil || !strings.Contains(err.Error(), "25006") {
		t.Errorf("a hot standby that is written to says %v", err)
	}
	if err := srv.Standby(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := srv.Exec(t.Context(), "postgres", "SELECT 1"); err == nil || !strings.Contains(err.Error(), "57P03") {
		t.Errorf("a cold standby says %v", err)
	}
	if err := srv.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := srv.Exec(t.Context(), "postgres", "CREATE TABLE written (n int)"); err != nil {
		t.Error(err)
	}
	if err := srv.Restart(t.Context(), server.Fast); err != nil {
		t.Fatal(err)
	}
	if got := query(t, srv, "SELECT pg_is_in_recovery()"); got != "f" {
		t.Errorf("after a restart it says of its recovery %q", got)
	}
}

package server_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db/postgres/server"
)

func TestFromEnv_BorrowsTheServerOfAnotherProcess(t *testing.T) {
	srv := running(t)
	key, value, _ := strings.Cut(srv.Env(), "=")
	t.Setenv(key, value)

	borrowed, found, err := server.FromEnv()
	if err != nil || !found {
		t.Fatalf("found %v, %v", found, err)
	}
	if borrowed.Host != srv.Host || borrowed.Port != srv.Port || borrowed.User != srv.User || borrowed.SocketDir != srv.SocketDir {
		t.Errorf("got %s@%s:%d, socket in %q", borrowed.User, borrowed.Host, borrowed.Port, borrowed.SocketDir)
	}
	if err := borrowed.CreateDatabase(t.Context(), "theirs", ""); err != nil {
		t.Error(err)
	}
	defer func() {
		if err := borrowed.DropDatabase(t.Context(), "theirs"); err != nil {
			t.Error(err)
		}
	}()
	for what, err := range map[string]error{
		"Restart": borrowed.Restart(t.Context(), server.Fast),
		"Down":    borrowed.Down(t.Context(), server.Fast),
		"Up":      borrowed.Up(t.Context()),
	} {
		if !errors.Is(err, server.ErrBorrowed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := borrowed.Stop(); err != nil {
		t.Error(err)
	}
	if got := query(t, srv, "SELECT count(*) FROM pg_database WHERE datname = 'theirs'"); got != "1" {
		t.Error("a borrower has stopped the server")
	}
	if borrowed.Log() != "" {
		t.Error("a borrowed server has a log")
	}
}

func TestFromEnv_FindsNothingOrSaysWhatIsWrong(t *testing.T) {
	t.Setenv(server.EnvKey, "")
	if _, found, err := server.FromEnv(); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	for _, value := range []string{"127.0.0.1:5432", "postgres://postgres@127.0.0.1", "mysql://u@h:1", "postgres://h:1", "postgres://u:s3cret@h:1", "postgres://u@h:x"} {
		t.Setenv(server.EnvKey, value)
		_, found, err := server.FromEnv()
		if found || err == nil || !strings.Contains(err.Error(), server.EnvKey) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: found %v, %v", value, found, err)
		}
	}
}

package server_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db/postgres/server"
)

func TestBouncer_StandsBeforeTheServerAndGoesAway(t *testing.T) {
	t.Parallel()
	installed(t)
	b, err := server.StartBouncer(t.Context(), shared, server.BouncerOptions{Settings: map[string]string{"default_pool_size": "1"}})
	if errors.Is(err, server.ErrNoBouncer) && !strings.Contains(os.Getenv("QUINTET_REQUIRE"), "pgbouncer") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	through := &server.Server{Host: b.Host, Port: b.Port, User: shared.User}
	ask := func() error {
		_, err := through.Query(t.Context(), "postgres", "select 1")
		return err
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
	b.Down()
	if ask() == nil {
		t.Error("it answers although it is down")
	}
	if err := b.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	}
	if ask() == nil || b.Up(t.Context()) == nil {
		t.Error("it is still there after Stop")
	}
	if _, err := server.StartBouncer(t.Context(), shared, server.BouncerOptions{Settings: map[string]string{"listen_port": "1"}}); err == nil {
		t.Error("listen_port can be set")
	}
}

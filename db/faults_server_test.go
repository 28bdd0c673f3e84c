package db_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres/server"
)

// F05 of the fault list: a server that restarts under load costs the statements that
// were on it, and nobody else anything but time.
func TestRestart_CostsOnlyTheStatementsThatWereUnderWay(t *testing.T) {
	t.Parallel()
	dbtest.Server(t) // where there is one, there can be another
	srv, err := server.Start(t.Context(), server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	})
	const most = 5
	conns := dbtest.Open(t, db.Settings{
		Engine: "postgres", Name: "postgres", Host: srv.Host, Port: srv.Port, User: srv.User,
		ConnMaxAge: 600 * time.Second, MaxConnections: most, Options: map[string]string{"sslmode": "disable"},
	})
	var served, lost atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := try(t.Context(), conns, func(ctx context.Context, conn *db.Conn) error { return exec(ctx, conn, "SELECT pg_sleep(0.002)") })
				switch {
				case err == nil:
					served.Add(1)
				case errors.Is(err, db.ErrConnectionLost):
					lost.Add(1)
				default:
					t.Errorf("neither served nor lost under way: %v", err)
				}
			}
		})
	}
	await(t, "under load", func() bool { return served.Load() > 200 })
	if err := srv.Restart(t.Context(), server.Fast); err != nil {
		t.Error(err)
	}
	before := served.Load()
	await(t, "served again", func() bool { return served.Load() > before+200 })
	close(stop)
	all.Wait()
	if n := lost.Load(); n > most {
		t.Errorf("%d scopes failed, want at most the %d that were under way", n, most)
	}
	expect(t, "refused", stats(conns).Refused, 0)
}

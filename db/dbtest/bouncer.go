package dbtest

import (
	"errors"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres/server"
)

// PgBouncer is what [RequireKey] calls the pooler of [Bouncer].
const PgBouncer = "pgbouncer"

// Bouncer starts a PgBouncer in transaction mode, with as many server connections for
// each database as given, before the server of the settings. It returns the settings
// that lead through it, and ends with the test. It skips the test where PgBouncer is
// missing.
func Bouncer(t testing.TB, settings db.Settings, connections string) (db.Settings, *server.Bouncer) {
	t.Helper()
	b, err := server.StartBouncer(t.Context(), Server(t), server.BouncerOptions{Settings: map[string]string{"default_pool_size": connections}})
	switch {
	case err == nil:
	case errors.Is(err, server.ErrNoBouncer) && !required(PgBouncer):
		t.Skip(strings.TrimPrefix(err.Error(), "server: "))
	default:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	settings.Host, settings.Port, settings.Pooler = b.Host, b.Port, db.PoolerPgBouncer
	return settings, b
}

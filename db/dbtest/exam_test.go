package dbtest_test

import (
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/sqlite"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestEngine_SQLite(t *testing.T) {
	t.Parallel()
	dbtest.TestEngine(t, sqlite.Engine{}, dbtest.Database(t, dbtest.SQLite))
}

func TestEngine_SQLiteInMemory(t *testing.T) {
	t.Parallel()
	dbtest.TestEngine(t, sqlite.Engine{}, db.Settings{Name: ":memory:"})
}

func TestEngine_Postgres(t *testing.T) {
	t.Parallel()
	dbtest.TestEngine(t, postgres.Engine{}, dbtest.Database(t, dbtest.Postgres))
}

package rivertest

import (
	"context"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

type count struct {
	N int `json:"n"`
}

func (count) Kind() string { return "count" }

// counter writes what it was given, through the site's connections.
type counter struct {
	river.WorkerDefaults[count]
	conns *db.Connections
}

func (c *counter) Work(ctx context.Context, job *river.Job[count]) error {
	return c.conns.Run(ctx, "count", func(ctx context.Context) error {
		_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO counted VALUES (?)", job.Args.N)
		return err
	})
}

// TestRiver_WorksOverTheConnectionsOfASite: River's migrations, its client with queues
// and maintenance, and the workers' own scopes share one pool of four.
func TestRiver_WorksOverTheConnectionsOfASite(t *testing.T) {
	settings := dbtest.Database(t, dbtest.Postgres)
	settings.ConnMaxAge, settings.MaxConnections = db.Forever, 4
	conns := dbtest.Open(t, settings)
	ctx := t.Context()
	err := conns.Run(ctx, "tables", func(ctx context.Context) error {
		_, err := db.From(ctx).ExecContext(ctx, "CREATE TABLE counted (n int)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sqldb := conns.SQLDB(db.DefaultAlias)
	defer sqldb.Close()

	driver := riverdatabasesql.New(sqldb)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		t.Fatal(err)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &counter{conns: conns})
	client, err := river.NewClient(driver, &river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}}, Workers: workers,
		FetchCooldown: 10 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	done, cancel := client.Subscribe(river.EventKindJobCompleted, river.EventKindJobFailed)
	defer cancel()
	if err := client.Start(ctx); err != nil {
		t.Fatal(err)
	}

	const jobs, dropped = 100, 7
	for n := range jobs {
		tx, err := sqldb.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.InsertTx(ctx, tx, count{N: n}, nil); err != nil {
			t.Fatal(err)
		}
		if n%dropped == 0 { // a job of a transaction that is rolled back never was
			err = tx.Rollback()
		} else {
			err = tx.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want := 0
	for n := range jobs {
		if n%dropped != 0 {
			want++
		}
	}
	for range want {
		select {
		case event := <-done:
			if event.Kind != river.EventKindJobCompleted {
				t.Errorf("job %d: %s: %v", event.Job.ID, event.Kind, event.Job.Errors)
			}
		case <-time.After(time.Minute):
			t.Fatalf("River has stopped: %+v", conns.Holders())
		}
	}
	if err := client.Stop(ctx); err != nil {
		t.Error(err)
	}
	var rows int
	if err := sqldb.QueryRowContext(ctx, "SELECT count(DISTINCT n) FROM counted").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if rows != want {
		t.Errorf("%d jobs have counted, want %d", rows, want)
	}
	s := conns.Stats(db.DefaultAlias)
	if s.Open > 4 || s.InUse != 0 || s.Leaked != 0 || s.Quarantined != 0 {
		t.Errorf("afterwards: %+v", s)
	}
	if backends := dbtest.Backends(t, settings); len(backends) != s.Open {
		t.Errorf("%d sessions on the server, and %d of the pool", len(backends), s.Open)
	}
}

//go:build unix

package telemetry_test

import (
	"context"
	"errors"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// A statement whose connection is cut never ends for the trace: it is measured with the
// hold that it was in.
func TestMetrics_CountAStatementWhoseConnectionWasCut(t *testing.T) {
	t.Parallel()
	proxy, settings := dbtest.NewProxy(t, dbtest.Database(t, dbtest.Postgres))
	s := tell(t, settings, routes)
	ctx, sc := s.Connections().NewScope(t.Context(), "frozen")
	rows, err := db.From(ctx).QueryContext(ctx, "SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	proxy.Freeze()
	if err := sc.End(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	stats := s.Connections().Stats(db.DefaultAlias)
	expect(t, "quarantined", stats.Quarantined, 1)
	expect(t, "statements", stats.Statements, 1)
	statements := metric{"db_client_operation_duration_seconds", "db_operation_name=SELECT"}
	expect(t, "statements that were measured", statements.of(report{alias: db.DefaultAlias, families: s.page(t)}), 1)
}

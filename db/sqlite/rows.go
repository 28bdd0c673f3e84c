package sqlite

import (
	"context"
	"database/sql/driver"
)

// fullRows is what rows of modernc.org/sqlite can do.
type fullRows interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

// watched rows are interrupted when their context ends, until they are closed.
type watched struct {
	fullRows
	stop        func() bool
	interrupted chan struct{}
}

func (s *session) watch(ctx context.Context, rows driver.Rows) driver.Rows {
	full, ok := rows.(fullRows)
	if !ok {
		return rows
	}
	w := &watched{fullRows: full, interrupted: make(chan struct{})}
	w.stop = context.AfterFunc(ctx, func() {
		defer close(w.interrupted)
		s.handle.interrupt()
	})
	return w
}

// Close lets an interrupt that is under way arrive, so that it cannot hit the next
// statement.
func (w *watched) Close() error {
	if !w.stop() {
		<-w.interrupted
	}
	return w.fullRows.Close()
}

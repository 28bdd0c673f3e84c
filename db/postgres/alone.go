package postgres

import (
	"context"
	"database/sql/driver"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// alone reports whether a query is one statement for certain, and one that answers with
// rows: without a semicolon, not even in a string, there is no second one, however the
// text was put together. COPY, above all, would wait for its data.
func alone(query string) bool {
	if strings.IndexByte(query, ';') >= 0 {
		return false
	}
	word, _, _ := strings.Cut(strings.TrimLeft(query, " \t\n\r"), " ")
	switch word {
	case "SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "select", "with", "insert", "update", "delete":
		return true
	}
	return false
}

// askAlone sends a query that is alone by the simple protocol: one message to the server
// instead of the five of exec.
func (s *session) askAlone(ctx context.Context, query string) (driver.Rows, error) {
	pg := s.pg()
	if pg.IsClosed() {
		return nil, driver.ErrBadConn
	}
	results := pg.Exec(ctx, query)
	if !results.NextResult() {
		return nil, unsent(results.Close())
	}
	r := &rows{results: results, result: results.ResultReader(), types: s.Conn().TypeMap()}
	r.fields = r.result.FieldDescriptions()
	// A failure must show before anybody asks for the columns.
	if r.first = r.result.NextRow(); !r.first {
		if err := r.Close(); err != nil {
			return nil, unsent(err)
		}
	}
	return r, nil
}

// unsent is what database/sql calls an error that came before the query was sent.
func unsent(err error) error {
	if err != nil && pgconn.SafeToRetry(err) {
		return driver.ErrBadConn
	}
	return err
}

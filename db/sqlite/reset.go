package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Reset refuses for files: what a PRAGMA was before nobody knows, and opening the
// file anew costs less than a millisecond. Memory would be lost with its connection:
// there temporary objects are dropped, databases detached, and the pragmas of
// OPTIONS set again.
func (d *sessions) Reset(ctx context.Context, c driver.Conn) error {
	s, ok := c.(*session)
	if !ok {
		return errForeign
	}
	if !d.single {
		return errNoReset
	}
	if in, _ := s.handle.inTransaction(); in {
		if _, err := s.ExecContext(ctx, "ROLLBACK", nil); err != nil {
			return fmt.Errorf("sqlite: reset: %w", err)
		}
	}
	var undo []string
	// Triggers come first: the others take theirs with them. What begins with sqlite_
	// is SQLite's own.
	objects, err := s.texts(ctx, "SELECT type, name FROM temp.sqlite_master "+
		"WHERE type IN ('table', 'view', 'trigger') AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY type = 'trigger' DESC")
	if err != nil {
		return fmt.Errorf("sqlite: reset: %w", err)
	}
	for _, row := range objects {
		undo = append(undo, "DROP "+row[0]+" IF EXISTS temp."+quote(row[1]))
	}
	databases, err := s.texts(ctx, "SELECT name FROM pragma_database_list WHERE name NOT IN ('main', 'temp')")
	if err != nil {
		return fmt.Errorf("sqlite: reset: %w", err)
	}
	for _, row := range databases {
		undo = append(undo, "DETACH "+quote(row[0]))
	}
	for _, text := range append(undo, d.pragmas...) {
		if _, err := s.ExecContext(ctx, text, nil); err != nil {
			return fmt.Errorf("sqlite: reset: %s: %w", text, err)
		}
	}
	return nil
}

// texts reads a small result of text columns.
func (s *session) texts(ctx context.Context, query string) (_ [][]string, err error) {
	rows, err := s.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var list [][]string
	values := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(values); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		row := make([]string, len(values))
		for i, value := range values {
			row[i] = fmt.Sprint(value)
		}
		list = append(list, row)
	}
}

func quote(identifier string) string {
	return `"` + strings.ReplaceAll(identifier, `"`, `""`) + `"`
}

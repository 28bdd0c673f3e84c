package migrate

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/pressly/goose/v3"
)

// paper is a connection that writes statements down instead of running them. It
// lets goose itself say how it reads a file, before any database is there.
type paper struct {
	statements []string
	atomic     bool // a transaction was begun
}

// transcribe has goose run one direction of a file on paper.
func transcribe(file, text string, version int64, up bool) (p *paper, err error) {
	p = new(paper)
	db := sql.OpenDB(p)
	defer func() { err = cmp.Or(err, db.Close()) }() // paper closes without errors
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, snapshot{file: text},
		goose.WithDisableVersioning(true), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, err
	}
	if _, err := provider.ApplyVersion(context.Background(), version, up); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *paper) Connect(context.Context) (driver.Conn, error) { return p, nil }
func (p *paper) Driver() driver.Driver                        { return p }
func (p *paper) Open(string) (driver.Conn, error)             { return p, nil }
func (p *paper) Close() error                                 { return nil }
func (p *paper) Commit() error                                { return nil }
func (p *paper) Rollback() error                              { return nil }

func (p *paper) Prepare(statement string) (driver.Stmt, error) {
	return nil, fmt.Errorf("migrate: %q: paper prepares nothing", brief(statement))
}

func (p *paper) Begin() (driver.Tx, error) {
	p.atomic = true
	return p, nil
}

func (p *paper) ExecContext(_ context.Context, statement string, _ []driver.NamedValue) (driver.Result, error) {
	p.statements = append(p.statements, statement)
	return driver.RowsAffected(0), nil
}

// snapshot is files by name, as goose needs them: found by pattern and read from
// the beginning to the end.
type snapshot map[string]string

func (s snapshot) Open(name string) (fs.File, error) {
	text, ok := s[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return page{strings.NewReader(text), name}, nil
}

func (s snapshot) Glob(pattern string) ([]string, error) {
	var names []string
	for name := range s {
		matched, err := path.Match(pattern, name)
		if err != nil {
			return nil, err
		}
		if matched {
			names = append(names, name)
		}
	}
	return names, nil
}

type page struct {
	*strings.Reader
	name string
}

func (p page) Close() error { return nil }

func (p page) Stat() (fs.FileInfo, error) {
	return nil, &fs.PathError{Op: "stat", Path: p.name, Err: errors.ErrUnsupported}
}

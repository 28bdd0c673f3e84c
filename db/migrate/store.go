package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/pressly/goose/v3/database"
)

// errMoved reports that the history is not what the plan was made from: another
// process has migrated in between.
var errMoved = errors.New("migrate: the history has moved")

// store is the table as goose sees it while one migration runs. It writes only
// to the history that the plan was made from, inside the migration's transaction.
type store struct {
	*history
	migration *migration
	planned   map[string]bool // what was applied of the app
}

var _ database.StoreExtender = (*store)(nil)

// Tablename is asked for by goose and used by its own stores only.
func (s *store) Tablename() string { return table }

func (s *store) TableExists(context.Context, database.DBTxConn) (bool, error) { return s.exists, nil }

func (s *store) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	return s.create(ctx, db)
}

// Insert ignores version 0, the row by which goose recognises its own table.
func (s *store) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	if req.Version == 0 {
		return nil
	}
	if err := s.check(ctx, db, req.Version); err != nil {
		return err
	}
	return s.insert(ctx, db, s.migration.Migration)
}

func (s *store) Delete(ctx context.Context, db database.DBTxConn, version int64) error {
	if err := s.check(ctx, db, version); err != nil {
		return err
	}
	return s.delete(ctx, db, s.migration.Migration)
}

func (s *store) check(ctx context.Context, db database.DBTxConn, version int64) error {
	if version != s.migration.version {
		return fmt.Errorf("migrate: version %d is not %s", version, s.migration)
	}
	all, err := s.applied(ctx, db)
	if err != nil {
		return err
	}
	if !maps.Equal(all.names(s.migration.App), s.planned) {
		return errMoved
	}
	return nil
}

func (s *store) GetMigration(ctx context.Context, db database.DBTxConn, version int64) (*database.GetMigrationResult, error) {
	all, err := s.applied(ctx, db)
	if err != nil {
		return nil, err
	}
	applied, ok := all[s.migration.Migration]
	if !ok || version != s.migration.version {
		return nil, database.ErrVersionNotFound
	}
	return &database.GetMigrationResult{Timestamp: applied, IsApplied: true}, nil
}

func (s *store) GetLatestVersion(ctx context.Context, db database.DBTxConn) (int64, error) {
	if _, err := s.GetMigration(ctx, db, s.migration.version); err != nil {
		return 0, err
	}
	return s.migration.version, nil
}

func (s *store) ListMigrations(ctx context.Context, db database.DBTxConn) ([]*database.ListMigrationsResult, error) {
	version, err := s.GetLatestVersion(ctx, db)
	if errors.Is(err, database.ErrVersionNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []*database.ListMigrationsResult{{Version: version, IsApplied: true}}, nil
}

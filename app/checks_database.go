package app

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/migrate"
)

// checkServer asks whether a database answers, and whether its server has as many
// connections as the site may want.
func checkServer(ctx context.Context, s *Site, alias string) []Problem {
	settings, _ := s.connections.Settings(alias)
	if settings.Engine != "postgres" {
		var one int
		if err := db.Using(ctx, alias).NewRaw("SELECT 1").Scan(ctx, &one); err != nil {
			return []Problem{unreachable(s, alias, err)}
		}
		return nil
	}
	room, err := askRoom(ctx, alias)
	if err != nil {
		return []Problem{unreachable(s, alias, err)}
	}
	return room.compare(s, alias, settings)
}

// checkTables asks whether the default database has what the migrations and the
// models say. A database that does not answer is checkServer's, one in memory has
// nothing yet, and other aliases may have other tables.
func checkTables(ctx context.Context, s *Site, alias string) (found []Problem) {
	settings, _ := s.connections.Settings(alias)
	if alias != db.DefaultAlias || inMemory(settings) || db.Using(ctx, alias).EnsureConnection(ctx) != nil {
		return nil
	}
	if err := db.Release(ctx, alias); err != nil { // one connection is enough
		return []Problem{unreachable(s, alias, err)}
	}
	pending, err := s.pendingMigrations(ctx, alias)
	switch {
	case err != nil:
		return []Problem{known("quintet.E004", "", err.Error(), "correct the migrations, or the database")}
	case len(pending) > 0:
		return []Problem{known("quintet.W015", s.setting("DATABASES."+alias), "has not seen the migrations "+sentence(pending), "run manage migrate")}
	}
	tables := s.modelTables()
	for _, a := range s.apps {
		for _, model := range a.Models {
			typ := reflect.TypeOf(model)
			if typ == nil || typ.Kind() != reflect.Pointer || typ.Elem().Kind() != reflect.Struct {
				continue // checkModels says so
			}
			if _, problem := mapModel(tables, typ); problem != "" {
				continue // likewise
			}
			if _, err := db.Using(ctx, alias).NewSelect().Model(model).Where("1 = 0").Exec(ctx); err != nil {
				found = append(found, known("quintet.E008", a.Name+"."+typ.Elem().Name(), "does not fit its table: "+err.Error(), "write a migration, or correct the model"))
			}
		}
	}
	return found
}

func (s *Site) pendingMigrations(ctx context.Context, alias string) (names []string, err error) {
	settings, _ := s.connections.Settings(alias)
	var sources []migrate.Source
	for _, a := range s.apps {
		if migrate.Validate(settings.Engine, migrate.Source{App: a.Name, FS: a.Migrations}) == nil { // or checkMigrations says so
			sources = append(sources, migrate.Source{App: a.Name, FS: a.Migrations})
		}
	}
	sqldb := s.connections.SQLDB(alias)
	defer func() { err = errors.Join(err, sqldb.Close()) }()
	migrator, err := migrate.New(sqldb, settings.Engine, sources, migrate.Options{Alias: alias})
	if err != nil {
		return nil, err
	}
	pending, err := migrator.Pending(ctx)
	for _, m := range pending {
		names = append(names, m.String())
	}
	return names, err
}

func unreachable(s *Site, alias string, err error) Problem {
	return known("quintet.E006", s.setting("DATABASES."+alias), "cannot be asked: "+err.Error(), "start it, or correct its settings")
}

// room is how many connections a server has, and for whom.
type room struct {
	Total    int // max_connections
	Reserved int // for superusers, and for the role pg_use_reserved_connections
	Role     int // limit of the role; -1 is none
	Database int // limit of the database; -1 is none
	Others   int // held by others than this site
}

// askRoom takes for the site's own what has its database, its role and its
// application_name: a check may run beside the site.
func askRoom(ctx context.Context, alias string) (r room, err error) {
	err = db.Using(ctx, alias).NewRaw(`
		SELECT current_setting('max_connections')::int,
			current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true), '0')::int,
			(SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
			(SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
			(SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
				AND (datname, usename, application_name) IS DISTINCT FROM (current_database(), current_user, current_setting('application_name')))`,
	).Scan(ctx, &r.Total, &r.Reserved, &r.Role, &r.Database, &r.Others)
	return r, err
}

// limit is how many the site can have at most, and what says so.
func (r room) limit() (n int, why string) {
	n, why = r.Total-r.Reserved, fmt.Sprintf("max_connections %d, %d of them reserved", r.Total, r.Reserved)
	if r.Role >= 0 && r.Role < n {
		n, why = r.Role, "the limit of the role"
	}
	if r.Database >= 0 && r.Database < n {
		n, why = r.Database, "the limit of the database"
	}
	return n, why
}

// compare counts what every alias on the same server may want.
func (r room) compare(s *Site, alias string, settings db.Settings) []Problem {
	each := 0
	var aliases []string
	for _, other := range s.connections.Aliases() {
		if o, _ := s.connections.Settings(other); o.Engine == settings.Engine && o.Host == settings.Host && o.Port == settings.Port {
			each += o.MaxConnections
			aliases = append(aliases, other)
		}
	}
	processes := s.settings.Processes
	want, key := each*processes, s.setting("DATABASES."+alias+".MAX_CONNECTIONS")
	sum := fmt.Sprintf("%d × PROCESSES %d are %d connections", each, processes, want)
	if len(aliases) > 1 {
		sum = fmt.Sprintf("%d (%s together) × PROCESSES %d are %d connections", each, sentence(aliases), processes, want)
	}
	limit, why := r.limit()
	free := max(r.Total-r.Reserved-r.Others, 0)
	hint := func(most int) string {
		return fmt.Sprintf("lower MAX_CONNECTIONS so that all aliases of the server together have %d, or raise the limit", most/processes)
	}
	switch {
	case want > limit:
		return []Problem{known("quintet.E007", key, fmt.Sprintf("%s, and the server gives %d (%s)", sum, limit, why), hint(limit))}
	case want > free:
		return []Problem{known("quintet.W003", key, fmt.Sprintf("%s, and the server has %d left: others hold %d", sum, free, r.Others), hint(free))}
	}
	return nil
}

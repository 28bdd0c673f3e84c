package app

import (
	"context"
	"fmt"

	"github.com/goquintet/quintet/db"
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

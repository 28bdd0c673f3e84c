package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// resolved is what the names of one attempt to connect have led to.
type resolved map[string]found

type found struct {
	addresses []string
	err       error
}

// resolve looks the hosts up before pgx does, so that each of their addresses gets its
// share of the time: one that is dead must leave some for the next.
func resolve(ctx context.Context, cfg *pgx.ConnConfig, limit time.Duration) {
	hosts := []string{cfg.Host}
	for _, fallback := range cfg.Fallbacks {
		hosts = append(hosts, fallback.Host)
	}
	names, lookup, addresses := make(resolved), cfg.LookupFunc, 0
	for _, host := range hosts {
		if _, known := names[host]; known {
			continue
		}
		var f found
		if host != "" && host[0] == '/' { // the folder of a unix socket
			f.addresses = []string{host}
		} else {
			f.addresses, f.err = lookup(ctx, host)
		}
		names[host] = f
		addresses += len(f.addresses)
	}
	cfg.LookupFunc = names.lookup
	if addresses > 1 {
		cfg.ConnectTimeout = limit / time.Duration(addresses)
	}
}

func (r resolved) lookup(_ context.Context, host string) ([]string, error) {
	f := r[host]
	return f.addresses, f.err
}

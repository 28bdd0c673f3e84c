package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/goquintet/quintet/db"
	quintetpool "github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/postgres/server"
)

// slowDial is how long connecting takes in the spike: a server far away, with TLS.
const slowDial = 150 * time.Millisecond

// contender is a pool that somebody else may have written.
type contender struct {
	name string
	open func(most int, dial time.Duration) (contest, error)
}

// contest is one pool under test.
type contest struct {
	// do takes a connection, is told when it has it, and runs the statement on it.
	do    func(ctx context.Context, got func(), query string) error
	size  func() int // open connections
	close func() error
}

// pools compares what happens when many want a connection at once: a spike on a pool
// that is small by then, and a crowd that is always there.
func pools(ctx context.Context, out io.Writer, args []string) (err error) {
	flags := flag.NewFlagSet("pool", flag.ContinueOnError)
	rounds := flags.Int("rounds", 5, "how many rounds of each")
	if err := flags.Parse(args); err != nil {
		return err
	}
	srv, err := server.Start(ctx, server.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Stop()) }()
	contenders := []contender{
		{"quintet", func(most int, dial time.Duration) (contest, error) { return quintetPool(srv, most, dial) }},
		{"database/sql", func(most int, dial time.Duration) (contest, error) { return sqlPool(srv, most, dial) }},
	}
	fmt.Fprintf(out, "a spike: 5 idle connections of at most 50, connecting takes %s, 50 callers of 2ms\n", slowDial)
	for range *rounds {
		for _, c := range contenders {
			if err := spike(ctx, out, c); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	fmt.Fprintf(out, "\na crowd: 200 callers that come again and again, 4 connections, 2ms each\n")
	for range *rounds {
		for _, c := range contenders {
			if err := crowd(ctx, out, c); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

const twoMilliseconds = "SELECT pg_sleep(0.002)"

func spike(ctx context.Context, out io.Writer, c contender) (err error) {
	p, err := c.open(50, slowDial)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := together(5, func(int) error { return p.do(ctx, func() {}, "SELECT pg_sleep(1)") }); err != nil {
		return err
	}
	idle, began := p.size(), time.Now()
	if err := together(50, func(int) error { return p.do(ctx, func() {}, twoMilliseconds) }); err != nil {
		return err
	}
	took := time.Since(began)
	time.Sleep(2 * slowDial) // what is still being opened
	fmt.Fprintf(out, "  %-14s %d idle, all served after %6.1f ms, %2d connections in the end\n", c.name, idle, float64(took.Microseconds())/1000, p.size())
	return nil
}

func crowd(ctx context.Context, out io.Writer, c contender) (err error) {
	const callers, times = 200, 20
	p, err := c.open(4, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	waits := make([][]time.Duration, callers)
	if err := together(callers, func(n int) error {
		for i := range times {
			began := time.Now()
			err := p.do(ctx, func() {
				if i > 0 { // the first ones find it empty
					waits[n] = append(waits[n], time.Since(began))
				}
			}, twoMilliseconds)
			if err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	all := slices.Concat(waits...)
	slices.Sort(all)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	p50, p99 := all[len(all)/2], all[len(all)*99/100]
	fmt.Fprintf(out, "  %-14s waits p50 %6.1f ms, p99 %6.1f ms, at most %6.1f ms; p99 / p50 %.2f\n",
		c.name, ms(p50), ms(p99), ms(all[len(all)-1]), float64(p99)/float64(p50))
	return nil
}

// together runs do n times at once.
func together(n int, do func(n int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// slowly delays what connects.
type slowly struct {
	quintetpool.Driver
	dial time.Duration
}

func (s slowly) Connect(ctx context.Context) (driver.Conn, error) {
	time.Sleep(s.dial)
	return s.Driver.Connect(ctx)
}

func quintetPool(srv *server.Server, most int, dial time.Duration) (contest, error) {
	conns, err := db.Open(map[string]db.Settings{"default": {
		Engine: "postgres", Name: "postgres", Host: srv.Host, Port: srv.Port, User: srv.User, ConnMaxAge: db.Forever, MaxConnections: most,
		AcquireTimeout: time.Minute, Options: map[string]string{"sslmode": "disable"},
	}}, db.Options{Engines: []db.Engine{postgres.Engine{}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return contest{}, err
	}
	conns.Intercept(func(_ string, _ db.Settings, d quintetpool.Driver) quintetpool.Driver { return slowly{d, dial} })
	return contest{
		do: func(ctx context.Context, got func(), query string) error {
			return conns.Run(ctx, "bench", func(ctx context.Context) error {
				conn := db.From(ctx)
				if err := conn.EnsureConnection(ctx); err != nil {
					return err
				}
				got()
				_, err := conn.ExecContext(ctx, query)
				return err
			})
		},
		size:  func() int { return conns.Stats("default").Open },
		close: func() error { return conns.Close(context.Background()) },
	}, nil
}

// slowConnector is the same for database/sql.
type slowConnector struct {
	driver.Connector
	dial time.Duration
}

func (s slowConnector) Connect(ctx context.Context) (driver.Conn, error) {
	time.Sleep(s.dial)
	return s.Connector.Connect(ctx)
}

func sqlPool(srv *server.Server, most int, dial time.Duration) (contest, error) {
	cfg, err := pgx.ParseConfig("postgres://" + srv.User + "@" + net.JoinHostPort(srv.Host, strconv.Itoa(srv.Port)) + "/postgres?sslmode=disable")
	if err != nil {
		return contest{}, err
	}
	cfg.DefaultQueryExecMode = execMode
	sqldb := sql.OpenDB(slowConnector{stdlib.GetConnector(*cfg), dial})
	sqldb.SetMaxOpenConns(most)
	sqldb.SetMaxIdleConns(most)
	return contest{
		do: func(ctx context.Context, got func(), query string) error {
			conn, err := sqldb.Conn(ctx)
			if err != nil {
				return err
			}
			got()
			_, err = conn.ExecContext(ctx, query)
			return errors.Join(err, conn.Close())
		},
		size:  func() int { return sqldb.Stats().OpenConnections },
		close: sqldb.Close,
	}, nil
}

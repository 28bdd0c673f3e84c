package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/labstack/echo/v4"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/views"
)

const streamConnections = 4

func streamStacks() []string { return []string{"quintet", "echo"} }

// measured is what the process that serves says about itself.
type measured struct {
	Memory   float64 // bytes of live heap and of stacks
	Resident float64 // bytes of the process; 0 where it is not told
	Streams  int
	InUse    int // connections
}

// streamStack is a site that serves /stream and /query.
type streamStack struct {
	serve func(ctx context.Context, l net.Listener) error
	inUse func() int
}

// gate keeps the streams after their first chunk until all are there.
type gate struct {
	open    chan struct{}
	streams atomic.Int64
}

// pass waits for the gate, and later for the interval, and reports whether the client
// is still there.
func (g *gate) pass(ctx context.Context, n int, interval time.Duration) bool {
	if n == 0 {
		select {
		case <-g.open:
		case <-ctx.Done():
			return false
		}
	}
	return views.Sleep(ctx, interval) == nil
}

func streamQuery(r *http.Request) (chunks int, interval time.Duration, err error) {
	query := r.URL.Query()
	if chunks, err = strconv.Atoi(query.Get("chunks")); err != nil {
		return 0, 0, err
	}
	interval, err = time.ParseDuration(query.Get("interval"))
	return chunks, interval, err
}

// serveMany is the process that measureStreams starts: it serves, and answers words
// on its standard input until that ends.
func serveMany(ctx context.Context, in io.Reader, out io.Writer, args []string) (err error) {
	if len(args) != 4 {
		return errors.New("serve-many is for bench itself")
	}
	g := &gate{open: make(chan struct{})}
	port, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	build := map[string]func(g *gate, host string, port int, user string) (*streamStack, error){"quintet": quintetStreams, "echo": echoStreams}[args[0]]
	if build == nil {
		return fmt.Errorf("no stack is called %q", args[0])
	}
	stack, err := build(g, args[1], port, args[3])
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- stack.serve(ctx, l) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	answer := json.NewEncoder(out)
	if err := answer.Encode(l.Addr().String()); err != nil {
		return err
	}
	words := bufio.NewScanner(in)
	for words.Scan() {
		word, argument, _ := strings.Cut(words.Text(), " ")
		if word == "go" {
			close(g.open)
		}
		m := measure(g, stack)
		if word == "profile" {
			if err := profile(argument, args[0]); err != nil {
				return err
			}
		}
		if err := answer.Encode(m); err != nil {
			return err
		}
	}
	return words.Err()
}

func measure(g *gate, stack *streamStack) measured {
	m := measured{Streams: int(g.streams.Load()), InUse: stack.inUse()}
	runtime.GC()
	runtime.GC() // what a sync.Pool held back
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	m.Memory, m.Resident = float64(stats.HeapAlloc+stats.StackInuse), residentMemory()
	return m
}

func profile(folder, stack string) error {
	for _, kind := range []string{"heap", "goroutine"} {
		file, err := os.Create(filepath.Join(folder, stack+"."+kind+".pprof"))
		if err != nil {
			return err
		}
		if err := errors.Join(pprof.Lookup(kind).WriteTo(file, 0), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

func quintetStreams(g *gate, host string, port int, user string) (*streamStack, error) {
	one := func(r *views.Request) (n int, err error) {
		return n, db.From(r.Context()).NewRaw(query).Scan(r.Context(), &n)
	}
	site, err := app.New(app.Settings{
		AllowedHosts: []string{"127.0.0.1"}, LogLevel: slog.LevelError, AdminSockets: app.NoAdmin,
		Databases: map[string]db.Settings{"default": {
			Engine: "postgres", Name: "postgres", Host: host, Port: port, User: user,
			ConnMaxAge: db.Forever, MaxConnections: streamConnections, AcquireTimeout: maxDuration,
		}},
	}, app.Options{
		Engines: []db.Engine{postgres.Engine{}},
		Logger:  slog.New(slog.DiscardHandler),
		Routes: func(site *app.Site) {
			site.GET("/query", func(r *views.Request) (views.Response, error) {
				n, err := one(r)
				return views.Text{Body: strconv.Itoa(n)}, err
			})
			site.GET("/stream", func(r *views.Request) (views.Response, error) {
				chunks, interval, err := streamQuery(r.Request)
				if err != nil {
					return nil, err
				}
				if _, err := one(r); err != nil {
					return nil, err
				}
				ctx := r.Context()
				return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
					g.streams.Add(1)
					defer g.streams.Add(-1)
					for n := range chunks {
						if !yield([]byte(chunkText(n)), nil) || !g.pass(ctx, n, interval) {
							return
						}
					}
				}}, nil
			})
		},
	})
	if err != nil {
		return nil, err
	}
	return &streamStack{site.Serve, func() int { return site.Connections().Stats("default").InUse }}, nil
}

func echoStreams(g *gate, host string, port int, user string) (*streamStack, error) {
	cfg, err := pgx.ParseConfig("postgres://" + user + "@" + net.JoinHostPort(host, strconv.Itoa(port)) + "/postgres?sslmode=disable")
	if err != nil {
		return nil, err
	}
	cfg.DefaultQueryExecMode = execMode
	pool := sql.OpenDB(stdlib.GetConnector(*cfg))
	pool.SetMaxOpenConns(streamConnections)
	pool.SetMaxIdleConns(streamConnections)
	database := bun.NewDB(pool, pgdialect.New())
	one := func(r *http.Request) (n int, err error) {
		return n, database.NewRaw(query).Scan(r.Context(), &n)
	}
	e := echo.New()
	e.GET("/query", func(c echo.Context) error {
		n, err := one(c.Request())
		if err != nil {
			return err
		}
		return c.String(http.StatusOK, strconv.Itoa(n))
	})
	e.GET("/stream", func(c echo.Context) error {
		chunks, interval, err := streamQuery(c.Request())
		if err != nil {
			return err
		}
		if _, err := one(c.Request()); err != nil {
			return err
		}
		g.streams.Add(1)
		defer g.streams.Add(-1)
		ctx, w := c.Request().Context(), c.Response()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		for n := range chunks {
			if _, err := w.Write([]byte(chunkText(n))); err != nil {
				return err
			}
			w.Flush()
			if !g.pass(ctx, n, interval) {
				return nil
			}
		}
		return nil
	})
	serve := func(ctx context.Context, l net.Listener) error {
		server := &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second}
		defer context.AfterFunc(ctx, func() { _ = server.Close() })()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return database.Close()
	}
	return &streamStack{serve, func() int { return pool.Stats().InUse }}, nil
}

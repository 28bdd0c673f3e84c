package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/postgres/server"
	"github.com/goquintet/quintet/views"
)

// rivals are the same two answers from every stack: "1" from nowhere, and "1"
// from the database.
type rivals struct {
	site *app.Site
	bun  *bun.DB
	pool *pgxpool.Pool
	echo *echo.Echo
	like *echo.Echo // echo with the middleware that does what a site does by default
	mux  *http.ServeMux
}

const query = "SELECT 1 AS n"

func newRivals(ctx context.Context, srv *server.Server) (*rivals, error) {
	r := &rivals{echo: echo.New(), like: echo.New(), mux: http.NewServeMux()}
	var err error
	if r.site, err = newSite(srv); err != nil {
		return nil, err
	}
	dsn := "postgres://" + srv.User + "@" + net.JoinHostPort(srv.Host, strconv.Itoa(srv.Port)) + "/postgres?sslmode=disable"
	if err := r.addBun(dsn); err != nil {
		return nil, errors.Join(err, r.site.Close())
	}
	if err := r.addPool(ctx, dsn); err != nil {
		return nil, errors.Join(err, r.site.Close())
	}
	return r, nil
}

func newSite(srv *server.Server) (*app.Site, error) {
	return app.New(app.Settings{
		AllowedHosts: []string{"127.0.0.1"},
		LogLevel:     slog.LevelError,
		Databases: map[string]db.Settings{"default": {
			Engine: "postgres", Name: "postgres", Host: srv.Host, Port: srv.Port, User: srv.User,
			ConnMaxAge: db.Forever, MaxConnections: connections,
		}},
	}, app.Options{
		Engines: []db.Engine{postgres.Engine{}},
		Logger:  slog.New(slog.DiscardHandler),
		Routes: func(site *app.Site) {
			site.GET("/empty", func(*views.Request) (views.Response, error) { return views.Text{Body: "1"}, nil })
			site.GET("/query", func(r *views.Request) (views.Response, error) {
				var n int
				if err := db.From(r.Context()).NewRaw(query).Scan(r.Context(), &n); err != nil {
					return nil, err
				}
				return views.Text{Body: strconv.Itoa(n)}, nil
			})
		},
	})
}

func (r *rivals) addBun(dsn string) error {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	cfg.DefaultQueryExecMode = execMode
	sqldb := sql.OpenDB(stdlib.GetConnector(*cfg))
	sqldb.SetMaxOpenConns(connections)
	sqldb.SetMaxIdleConns(connections)
	r.bun = bun.NewDB(sqldb, pgdialect.New())
	r.like.Use(middleware.Recover(), middleware.RequestID(), middleware.Secure(), middleware.BodyLimit("2M"))
	for _, e := range []*echo.Echo{r.echo, r.like} {
		e.GET("/empty", func(c echo.Context) error { return c.String(http.StatusOK, "1") })
		e.GET("/query", func(c echo.Context) error {
			var n int
			if err := r.bun.NewRaw(query).Scan(c.Request().Context(), &n); err != nil {
				return err
			}
			return c.String(http.StatusOK, strconv.Itoa(n))
		})
	}
	return nil
}

func (r *rivals) addPool(ctx context.Context, dsn string) error {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return err
	}
	cfg.MaxConns = connections
	cfg.ConnConfig.DefaultQueryExecMode = execMode
	if r.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return err
	}
	r.mux.HandleFunc("GET /empty", func(w http.ResponseWriter, _ *http.Request) { reply(w, "1") })
	r.mux.HandleFunc("GET /query", func(w http.ResponseWriter, req *http.Request) {
		var n int
		if err := r.pool.QueryRow(req.Context(), query).Scan(&n); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		reply(w, strconv.Itoa(n))
	})
	return nil
}

func reply(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	_, _ = w.Write([]byte(text)) // a client that left needs no answer
}

func (r *rivals) matches() []match {
	stacks := func(bunName, poolName string) []stack {
		return []stack{{"quintet", r.site}, {bunName, r.echo}, {bunName + " + middleware", r.like}, {poolName, r.mux}}
	}
	return []match{
		{"an empty request", "/empty", stacks("echo", "net/http")},
		{"one query", "/query", stacks("echo + bun", "net/http + pgxpool")},
	}
}

func (r *rivals) close() {
	r.pool.Close()
	if err := errors.Join(r.bun.Close(), r.site.Close()); err != nil {
		slog.Error("close", "err", err)
	}
}

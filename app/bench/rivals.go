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

// rivals are the same answers from every stack: "1" from nowhere, "1" from the
// database, and "1" from one of many rows.
type rivals struct {
	site   *app.Site
	bun    *bun.DB
	stock  *bun.DB // in the exec mode that pgx has by itself
	single *bun.DB // by the simple protocol
	pool   *pgxpool.Pool
	echo   *echo.Echo
	like   *echo.Echo // echo with the middleware that does what a site does by default
	plain  *echo.Echo // echo over stock
	simple *echo.Echo // echo over single
	mux    *http.ServeMux
}

const query = "SELECT 1 AS n"

// rows is how many there are, of which each request asks for another one.
const rows = 10_000

// row is one of them. Its N is 1.
type row struct {
	bun.BaseModel `bun:"table:bench_rows,alias:r"`

	ID int64 `bun:"id,pk"`
	N  int   `bun:"n"`
}

// find is what a view does for a page about one thing.
func find(ctx context.Context, idb bun.IDB, id string) (string, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return "", err
	}
	var found row
	if err := idb.NewSelect().Model(&found).Where("id = ?", n).Scan(ctx); err != nil {
		return "", err
	}
	return strconv.Itoa(found.N), nil
}

func newRivals(ctx context.Context, srv *server.Server) (*rivals, error) {
	r := &rivals{echo: echo.New(), like: echo.New(), plain: echo.New(), simple: echo.New(), mux: http.NewServeMux()}
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
			site.GET("/row/{id}", func(r *views.Request) (views.Response, error) {
				text, err := find(r.Context(), db.From(r.Context()), r.PathValue("id"))
				if err != nil {
					return nil, err
				}
				return views.Text{Body: text}, nil
			})
		},
	})
}

func (r *rivals) addBun(dsn string) error {
	var err error
	if r.bun, err = newBun(dsn, execMode); err != nil {
		return err
	}
	if r.stock, err = newBun(dsn, pgx.QueryExecModeCacheStatement); err != nil {
		return err
	}
	if r.single, err = newBun(dsn, pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	r.like.Use(middleware.Recover(), middleware.RequestID(), middleware.Secure(), middleware.BodyLimit("2M"))
	routes(r.echo, r.bun)
	routes(r.like, r.bun)
	routes(r.plain, r.stock)
	routes(r.simple, r.single)
	return nil
}

// newBun opens a database in the exec mode. What pgx has by itself prepares and keeps
// each statement.
func newBun(dsn string, mode pgx.QueryExecMode) (*bun.DB, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	cfg.DefaultQueryExecMode = mode
	sqldb := sql.OpenDB(stdlib.GetConnector(*cfg))
	sqldb.SetMaxOpenConns(connections)
	sqldb.SetMaxIdleConns(connections)
	return bun.NewDB(sqldb, pgdialect.New()), nil
}

func routes(e *echo.Echo, database *bun.DB) {
	e.GET("/empty", func(c echo.Context) error { return c.String(http.StatusOK, "1") })
	e.GET("/query", func(c echo.Context) error {
		var n int
		if err := database.NewRaw(query).Scan(c.Request().Context(), &n); err != nil {
			return err
		}
		return c.String(http.StatusOK, strconv.Itoa(n))
	})
	e.GET("/row/:id", func(c echo.Context) error {
		text, err := find(c.Request().Context(), database, c.Param("id"))
		if err != nil {
			return err
		}
		return c.String(http.StatusOK, text)
	})
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
	r.mux.HandleFunc("GET /row/{id}", func(w http.ResponseWriter, req *http.Request) {
		var found row
		err := r.pool.QueryRow(req.Context(), "SELECT id, n FROM bench_rows WHERE id = $1", req.PathValue("id")).Scan(&found.ID, &found.N)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		reply(w, strconv.Itoa(found.N))
	})
	_, err = r.pool.Exec(ctx, "CREATE TABLE bench_rows AS SELECT id, 1 AS n FROM generate_series(0, "+strconv.Itoa(rows-1)+") AS id;"+
		"ALTER TABLE bench_rows ADD PRIMARY KEY (id); ANALYZE bench_rows", pgx.QueryExecModeSimpleProtocol)
	return err
}

func reply(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	_, _ = w.Write([]byte(text)) // a client that left needs no answer
}

func (r *rivals) matches() []match {
	return []match{
		{"an empty request", "/empty", []stack{{"quintet", r.site}, {"echo", r.echo}, {"echo + middleware", r.like}, {"net/http", r.mux}}},
		{"one query", "/query", r.databases()},
		{"one row by its id", "/row/", r.databases()},
	}
}

func (r *rivals) databases() []stack {
	return []stack{
		{"quintet", r.site}, {"echo + bun", r.echo}, {"echo + bun + middleware", r.like},
		{"echo + bun, pgx's exec mode", r.plain}, {"echo + bun, simple protocol", r.simple}, {"net/http + pgxpool", r.mux},
	}
}

func (r *rivals) close() {
	r.pool.Close()
	if err := errors.Join(r.bun.Close(), r.stock.Close(), r.single.Close(), r.site.Close()); err != nil {
		slog.Error("close", "err", err)
	}
}

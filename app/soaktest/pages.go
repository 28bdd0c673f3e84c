package soaktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

const (
	itemCount    = 2000
	accountCount = 20
	startBalance = 1000
	idHeader     = "X-Soak" // the header that numbers the requests
)

// valueOf is what the item of that number says, so that each row can be checked.
func valueOf(id int64) int64 { return id * 2654435761 % 1000003 }

// soakItem is one row that nobody changes.
type soakItem struct {
	ID    int64 `bun:"id,pk"`
	Value int64 `bun:"value"`
}

// pages is the site of a soak: a view for each way to use a connection, well or
// carelessly.
type pages struct {
	engine string

	mu        sync.Mutex // guards the rest
	errs      map[string]error
	committed map[string]bool // transfers whose OnCommit has run
}

func (s *pages) fill(ctx context.Context) error {
	var values strings.Builder
	for id := range int64(itemCount) {
		fmt.Fprintf(&values, ", (%d, %d)", id, valueOf(id))
	}
	var accounts strings.Builder
	for id := range accountCount {
		fmt.Fprintf(&accounts, ", (%d, %d)", id, startBalance)
	}
	for _, query := range []string{
		"CREATE TABLE soak_items (id bigint PRIMARY KEY, value bigint NOT NULL)",
		"CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL)",
		"CREATE TABLE transfers (id varchar(40) PRIMARY KEY, source bigint NOT NULL, target bigint NOT NULL, amount bigint NOT NULL)",
		"INSERT INTO soak_items VALUES " + values.String()[2:],
		"INSERT INTO accounts VALUES " + accounts.String()[2:],
	} {
		if _, err := db.From(ctx).ExecContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

func (s *pages) routes(site *app.Site) {
	site.GET("/rows/{first}", s.rows)
	site.POST("/transfer/{id}", s.transfer)
	site.GET("/sum", s.sum)
	site.GET("/export", s.export)
	site.GET("/cursor", s.cursor)
	site.GET("/ticks/{first}", s.ticks)
	site.GET("/endless", s.endless)
	site.GET("/session", s.session)
	site.GET("/careless", s.careless)
	site.GET("/forgetful", s.forgetful)
	site.GET("/nested/{first}", s.nested)
}

// heard remembers what became of a request.
func (s *pages) heard(_ context.Context, e signals.RequestFinished) error {
	if e.Err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs[e.Request.Header.Get(idHeader)] = e.Err
	return nil
}

func (s *pages) err(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errs[id]
}

func param(r *views.Request, name string) (int64, error) {
	n, err := strconv.ParseInt(r.PathValue(name), 10, 64)
	if err != nil {
		return 0, &views.Error{Status: http.StatusBadRequest, Message: err.Error()}
	}
	return n, nil
}

func line(i soakItem) []byte { return fmt.Appendf(nil, "%d,%d\n", i.ID, i.Value) }

// rows asks twice on one lease.
func (s *pages) rows(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	first, err := param(r, "first")
	if err != nil {
		return nil, err
	}
	var all []soakItem
	if err := db.From(ctx).NewSelect().Model(&all).Where("id >= ?", first).Order("id").Limit(40).Scan(ctx); err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, i := range all {
		b.Write(line(i))
	}
	var n int
	if err := db.From(ctx).NewRaw("SELECT count(*) FROM soak_items").Scan(ctx, &n); err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "%d\n", n)
	return views.Text{Body: b.String()}, nil
}

// errTaken makes an inner block fail on purpose.
var errTaken = errors.New("the savepoint takes it back")

// transfer moves money in a block, with one inside that is taken back.
func (s *pages) transfer(r *views.Request) (views.Response, error) {
	id, q := r.PathValue("id"), r.URL.Query()
	var source, target, amount int64
	if _, err := fmt.Sscan(q.Get("move"), &source, &target, &amount); err != nil {
		return nil, err
	}
	err := db.Atomic(r.Context(), func(ctx context.Context) error {
		move := func(ctx context.Context, account, by int64) error {
			_, err := db.From(ctx).ExecContext(ctx, "UPDATE accounts SET balance = balance + ? WHERE id = ?", by, account)
			return err
		}
		steps := []func() error{
			func() error { return move(ctx, source, -amount) },
			func() error { return move(ctx, target, amount) },
		}
		if target < source { // in one order, so that nobody waits for each other
			steps[0], steps[1] = steps[1], steps[0]
		}
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
		err := db.Atomic(ctx, func(ctx context.Context) error {
			if err := move(ctx, source, 1); err != nil {
				return err
			}
			return errTaken
		})
		if !errors.Is(err, errTaken) {
			return fmt.Errorf("the inner block: %w", err)
		}
		if _, err := db.From(ctx).ExecContext(ctx, "INSERT INTO transfers VALUES (?, ?, ?, ?)", id, source, target, amount); err != nil {
			return err
		}
		return db.OnCommit(ctx, func(context.Context) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.committed[id] = true
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return views.Text{Body: "moved"}, nil
}

func (s *pages) sum(r *views.Request) (views.Response, error) {
	var sum int64
	if err := db.From(r.Context()).NewRaw("SELECT sum(balance) FROM accounts").Scan(r.Context(), &sum); err != nil {
		return nil, err
	}
	return views.JSON{Value: sum}, nil
}

// export reads in batches, and holds nothing in between.
func (s *pages) export(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	items := db.Iterate[soakItem](ctx, db.From(ctx).NewSelect(), db.IterateOptions{BatchSize: 300})
	return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
		for item, err := range items {
			if !yield(line(item), err) || err != nil {
				return
			}
		}
	}}, nil
}

// cursor keeps its connection by name, with rows open.
func (s *pages) cursor(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	return views.StreamingResponse{KeepConnection: true, Body: func(yield func([]byte, error) bool) {
		rows, err := db.From(ctx).QueryContext(ctx, "SELECT id, value FROM soak_items ORDER BY id")
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var i soakItem
			if err := rows.Scan(&i.ID, &i.Value); err != nil || !yield(line(i), nil) {
				if err != nil {
					yield(nil, err)
				}
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, err)
		}
	}}, nil
}

// ticks leases for each chunk.
func (s *pages) ticks(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	first, err := param(r, "first")
	if err != nil {
		return nil, err
	}
	return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
		for id := first; id < first+10; id++ {
			i := soakItem{ID: id}
			err := db.From(ctx).NewSelect().Model(&i).WherePK().Scan(ctx)
			if !yield(line(i), err) || err != nil {
				return
			}
		}
	}}, nil
}

// endless ends when its client leaves.
func (s *pages) endless(r *views.Request) (views.Response, error) {
	var n int64
	err := db.From(r.Context()).NewRaw("WITH RECURSIVE endless(i) AS (SELECT 1 UNION ALL SELECT i FROM endless) SELECT count(*) FROM endless").Scan(r.Context(), &n)
	return views.JSON{Value: n}, err
}

// session leaves on the session whatever it can, and says what it has found there.
func (s *pages) session(r *views.Request) (views.Response, error) {
	ctx, conn := r.Context(), db.From(r.Context())
	var found string
	look, leave := "SELECT count(*) || '' FROM sqlite_temp_master", []string{"CREATE TEMP TABLE mine (id integer)"}
	if s.engine == dbtest.Postgres {
		look = `SELECT concat_ws(' ', nullif(current_setting('soak.mine', true), ''), nullif(current_setting('search_path'), '"$user", public'),
			(SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
			(SELECT string_agg(objid::text, ' ') FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
			(SELECT string_agg(name, ' ') FROM pg_cursors), (SELECT string_agg(name, ' ') FROM pg_prepared_statements WHERE from_sql),
			(SELECT string_agg(c, ' ') FROM pg_listening_channels() c))`
		leave = append(leave, "SET soak.mine = 'mine'", "SET search_path = pg_catalog", "SELECT pg_advisory_lock_shared(4711)", "LISTEN mine",
			"PREPARE mine AS SELECT 1", "DECLARE mine CURSOR WITH HOLD FOR SELECT 1")
	}
	if err := conn.NewRaw(look).Scan(ctx, &found); err != nil {
		return nil, err
	}
	for _, query := range leave {
		if _, err := conn.ExecContext(ctx, query); err != nil {
			return nil, err
		}
	}
	return views.Text{Body: strings.Trim(found, " 0")}, nil
}

// careless leaves rows open.
func (s *pages) careless(r *views.Request) (views.Response, error) {
	rows, err := db.From(r.Context()).QueryContext(r.Context(), "SELECT id, value FROM soak_items")
	if err != nil {
		return nil, err
	}
	if !rows.Next() {
		return nil, rows.Err()
	}
	return views.Text{Body: "left"}, nil
}

// forgetful leaves a transaction open, and is told.
func (s *pages) forgetful(r *views.Request) (views.Response, error) {
	if _, err := db.From(r.Context()).BeginTx(r.Context(), nil); err != nil {
		return nil, err
	}
	return views.Text{Body: "left"}, nil
}

// nested has a task of its own, on another connection.
func (s *pages) nested(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	if _, err := db.From(ctx).ExecContext(ctx, "SELECT 1"); err != nil {
		return nil, err
	}
	var response views.Response
	err := db.Run(ctx, "nested task", func(ctx context.Context) (err error) {
		response, err = s.rows(r.With(ctx))
		return err
	})
	return response, err
}

// read reads lines of items and reports what is wrong with them. Fewer than n, or
// more, are wrong too.
func read(body io.Reader, first int64, n int) (wrong string, err error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return "", err
	}
	lines := strings.SplitAfter(string(text), "\n")
	if len(lines) != n+1 {
		return fmt.Sprintf("%d lines, want %d", len(lines)-1, n), nil
	}
	for k, got := range lines[:n] {
		id := first + int64(k)
		if want := string(line(soakItem{id, valueOf(id)})); got != want {
			return fmt.Sprintf("line %d is %q, want %q", k, got, want), nil
		}
	}
	return "", nil
}

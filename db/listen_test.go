package db_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/postgres/server"
	"github.com/goquintet/quintet/signals/hub"
)

// listening is a hub that listens to "news", and the cause that ends it with the test.
func listening(t *testing.T, conns *db.Connections, options ...hub.Options) *hub.Hub[postgres.Notification] {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	h := hub.New(ctx, postgres.Listen(conns, db.DefaultAlias, "news", "Mixed Case"), options...)
	t.Cleanup(func() {
		cancel()
		await(t, "no listener", func() bool { return !h.Stats().Running })
	})
	return h
}

func subscribed[T any](t *testing.T, h *hub.Hub[T], policy ...hub.Policy) iter.Seq2[T, error] {
	t.Helper()
	seq, err := h.Subscribe(t.Context(), policy...)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func notify(t *testing.T, conns *db.Connections, channel string, payloads ...string) {
	t.Helper()
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
		return db.Atomic(ctx, func(ctx context.Context) error {
			for _, payload := range payloads {
				if err := postgres.Notify(ctx, db.DefaultAlias, channel, payload); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func TestListen_HearsWhatCommitsOnOneConnectionWhileSomebodySubscribes(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	settings := onlyOne(dbtest.Database(t, dbtest.Postgres))
	settings.HoldIdleWarn = time.Millisecond
	var log logs
	conns := dbtest.Open(t, settings, db.Options{Logger: log.logger()})
	h := listening(t, conns)
	expect(t, "dedicated before anybody subscribes", stats(conns).Dedicated, 0)
	first, second := subscribed(t, h), subscribed(t, h)
	expect(t, "dedicated for two", stats(conns).Dedicated, 1)
	expect(t, "its name", conns.Holders()[0].Name, "LISTEN news, Mixed Case")
	notify(t, conns, "news", "one", "two", "one")
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
		return db.Atomic(ctx, func(ctx context.Context) error {
			if err := postgres.Notify(ctx, db.DefaultAlias, "news", "rolled back"); err != nil {
				return err
			}
			return db.ErrRollback
		})
	})
	notify(t, conns, "mixed case", "to somebody else")
	notify(t, conns, "Mixed Case", `it's "three"`)
	for _, seq := range []iter.Seq2[postgres.Notification, error]{first, second} {
		var got []string
		for n, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, n.Channel+" "+n.Payload); len(got) == 3 {
				break
			}
		}
		want := []string{"news one", "news two", `Mixed Case it's "three"`}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	await(t, "no dedicated connection for nobody", func() bool { return stats(conns).Dedicated == 0 })
	// A busy machine may let those idle who notify; whoever listens is expected to.
	for line := range strings.Lines(log.String()) {
		if !strings.Contains(line, "held idle") || !strings.Contains(line, "holder=test ") {
			t.Errorf("the log says %s", line)
		}
	}
}

func TestListen_EveryNotificationReachesThousandsAndOneThatNeverReadsHarmsNobody(t *testing.T) {
	t.Parallel()
	const subscribers, notifications = 2000, 20
	settings := onlyOne(dbtest.Database(t, dbtest.Postgres))
	conns := dbtest.Open(t, settings)
	h := listening(t, conns)
	subscribed(t, h) // and never reads
	var ready, all sync.WaitGroup
	var reached [notifications]sync.WaitGroup
	ready.Add(subscribers)
	for n := range reached {
		reached[n].Add(subscribers)
	}
	for range subscribers {
		all.Go(func() {
			seq, err := h.Subscribe(t.Context())
			ready.Done()
			if err != nil {
				t.Error(err)
				return
			}
			n := 0
			for got, err := range seq {
				if err != nil || got.Payload != fmt.Sprint(n) {
					t.Errorf("%q, %v, want %d", got.Payload, err, n)
					return
				}
				reached[n].Done()
				if n++; n == notifications {
					return
				}
			}
		})
	}
	ready.Wait()
	var took []time.Duration
	for n := range reached {
		began := time.Now()
		notify(t, conns, "news", fmt.Sprint(n))
		reached[n].Wait()
		took = append(took, time.Since(began).Round(time.Microsecond))
	}
	all.Wait()
	if t.Failed() {
		return
	}
	slices.Sort(took)
	t.Logf("from NOTIFY to the last of %d subscribers: median %s, worst %s", subscribers, took[len(took)/2], took[len(took)-1])
	expect(t, "connections to the server", len(dbtest.Backends(t, settings)), 2) // one listens, one notifies
	expect(t, "subscribers that are left", h.Stats().Subscribers, 1)
}

// untilNews reads gaps until a notification with the payload comes, and says whether
// there were any.
func untilNews(t *testing.T, next func() (postgres.Notification, error, bool), payload string) (gaps int) {
	t.Helper()
	for {
		n, err, ok := next()
		switch {
		case !ok:
			t.Fatal("the sequence has ended")
		case errors.Is(err, hub.ErrGap):
			gaps++
		case err != nil:
			t.Fatal(err)
		case n.Payload == payload:
			return gaps
		}
	}
}

func TestListen_ALostConnectionIsAGapAndNoSubscriberIsLost(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	settings := dbtest.Database(t, dbtest.Postgres)
	conns := dbtest.Open(t, settings)
	h := listening(t, conns)
	next, stop := iter.Pull2(subscribed(t, h))
	defer stop()
	for n := range 3 {
		dbtest.Kill(t, settings)
		_, err, _ := next() // which says that it listens again
		expectError(t, "the gap", err, hub.ErrGap)
		expectError(t, "the gap", err, db.ErrConnectionLost)
		notify(t, conns, "news", fmt.Sprint(n))
		expect(t, "more gaps", untilNews(t, next, fmt.Sprint(n)), 0)
		expect(t, "dedicated", stats(conns).Dedicated, 1)
	}
	expect(t, "gaps", h.Stats().Gaps, 3)
}

func TestListen_SurvivesTheRestartOfTheServer(t *testing.T) {
	t.Parallel()
	dbtest.Server(t) // where there is one, there can be another
	srv, err := server.Start(t.Context(), server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	})
	conns := dbtest.Open(t, db.Settings{
		Engine: "postgres", Name: "postgres", Host: srv.Host, Port: srv.Port, User: srv.User,
		ConnMaxAge: db.Forever, Options: map[string]string{"sslmode": "disable"},
	})
	h := listening(t, conns)
	var all sync.WaitGroup
	var gaps, heard [50]int
	var again sync.WaitGroup
	again.Add(len(gaps))
	for i := range gaps {
		next, stop := iter.Pull2(subscribed(t, h))
		all.Go(func() {
			defer stop()
			if _, err, ok := next(); !ok || !errors.Is(err, hub.ErrGap) {
				t.Errorf("%v, %v, want a gap", err, ok)
			}
			gaps[i]++
			again.Done()
			gaps[i] += untilNews(t, next, "after")
			heard[i]++
		})
	}
	if err := srv.Restart(t.Context(), server.Fast); err != nil {
		t.Fatal(err)
	}
	again.Wait()
	notify(t, conns, "news", "after")
	all.Wait()
	for i := range gaps {
		expect(t, fmt.Sprint("what subscriber ", i, " has heard"), heard[i], 1)
	}
	expect(t, "dedicated", stats(conns).Dedicated, 1)
}

func TestListen_EndsWithTheConnections(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	settings := dbtest.Database(t, dbtest.Postgres)
	conns := dbtest.Open(t, settings)
	h := listening(t, conns)
	seq := subscribed(t, h)
	if err := conns.Close(t.Context()); err != nil {
		t.Error(err)
	}
	var last error
	for _, err := range seq {
		last = err
	}
	expectError(t, "the last pair", last, db.ErrClosed)
	_, err := h.Subscribe(t.Context())
	expectError(t, "another subscription", err, db.ErrClosed)
}

func TestListen_ThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	away := db.Settings{Engine: "postgres", Name: "x", Host: "127.0.0.1", Port: 1, AcquireTimeout: time.Second}
	pooled := away
	pooled.Pooler = db.PoolerPgBouncer
	conns := dbtest.OpenAll(t, map[string]db.Settings{
		"default": away, "pooled": pooled, "file": dbtest.Database(t, dbtest.SQLite), "memory": {Engine: "sqlite", Name: ":memory:"},
	})
	for _, c := range []struct {
		alias, channel, says string
		is                   error
	}{
		{"default", "news", "refused", db.ErrUnavailable},
		{"pooled", "news", "a pooler has not", db.ErrNeedsSession},
		{"memory", "news", "one connection", db.ErrNoDedicated},
		{"file", "news", `alias "file" is not PostgreSQL`, nil},
		{"nowhere", "news", `"nowhere" does not exist`, nil},
		{"default", "", "1 to 63 bytes", nil},
		{"default", strings.Repeat("x", 64), "1 to 63 bytes", nil},
	} {
		_, err := hub.New(t.Context(), postgres.Listen(conns, c.alias, c.channel)).Subscribe(t.Context())
		if err == nil {
			t.Errorf("alias %q, channel %q: no error", c.alias, c.channel)
			continue
		}
		expectText(t, "alias "+c.alias, err.Error(), c.says)
		if c.is != nil {
			expectError(t, "alias "+c.alias, err, c.is)
		}
	}
	_, err := hub.New(t.Context(), postgres.Listen(conns, "default")).Subscribe(t.Context())
	expectText(t, "without a channel", fmt.Sprint(err), "names no channel")
	scope(t, conns, func(ctx context.Context, _ *db.Conn) error {
		expectText(t, "a notification on SQLite", fmt.Sprint(postgres.Notify(ctx, "file", "news", "")), `alias "file" is not PostgreSQL`)
		return nil
	})
	expectError(t, "a notification without a scope", postgres.Notify(t.Context(), "default", "news", ""), db.ErrNoScope)
}

package pool_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// log collects what a pool says.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// keeper holds by name.
type keeper struct{ owner }

func (*keeper) Kept() bool { return true }

func TestHoldIdleWarn_TellsOnceOfEachWhoIdles(t *testing.T) {
	var said log
	change := func(c *pool.Config) {
		c.HoldIdleWarn, c.Logger = time.Second, slog.New(slog.NewTextHandler(&said, nil))
	}
	bubble(t, &network{}, change, func(t *testing.T, p *pool.Pool) {
		idler := acquire(t, p, of(&owner{"idler"}))
		busy := acquire(t, p, of(&owner{"busy"}))
		kept := acquire(t, p, func(c *pool.Claim) { c.Owner = &keeper{owner{"keeper"}} })
		brief := acquire(t, p, of(&owner{"brief"}))
		if err := run(idler, "select 'secret'"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(999 * time.Millisecond)
		giveBack(brief)
		synctest.Wait()
		expect(t, "warnings before a second is over", said.count("level=WARN"), 0)
		late := acquire(t, p, of(&owner{"late"}))
		if err := run(busy, "sleep 3s"); err != nil { // 999 ms of idleness so far
			t.Fatal(err)
		}
		synctest.Wait()
		expect(t, "warnings about the idler", said.count("holder=idler"), 1)
		expect(t, "warnings about the late one", said.count("holder=late"), 1)
		expect(t, "its idle time, to the millisecond", said.count("idle=1s"), 2)
		expect(t, "warnings about the busy one", said.count("holder=busy"), 0)
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(t, "warnings about the busy one, now that it idles", said.count("holder=busy"), 1)
		expect(t, "all of them", said.count("level=WARN"), 3)
		expect(t, "values in the log", said.count("secret"), 0)
		expect(t, "places in the log", said.count("fake_test.go:"), 3)
		for _, l := range []*pool.Lease{idler, busy, kept, late} {
			giveBack(l)
		}
	})
}

// Those who take their connections on the same line are told apart.
func TestHoldIdleWarn_EachHolderOfAPlaceOnceAMinute(t *testing.T) {
	var said log
	change := func(c *pool.Config) {
		c.HoldIdleWarn, c.Logger = 10*time.Millisecond, slog.New(aware{slog.NewTextHandler(&said, nil)})
	}
	bubble(t, &network{}, change, func(t *testing.T, p *pool.Pool) {
		ctx := context.WithValue(context.Background(), request{}, "r-1")
		idle := func(name string) {
			l := acquire(t, p, of(&owner{name}), func(c *pool.Claim) { c.Context = ctx })
			time.Sleep(20 * time.Millisecond)
			synctest.Wait()
			giveBack(l)
		}
		for range 1000 {
			idle("GET /idle")
		}
		expect(t, "lines of a thousand in twenty seconds", said.count("is held idle"), 1)
		if line := said.last(); !strings.Contains(line, `holder="GET /idle"`) || !strings.Contains(line, "at=pool/fake_test.go:") || !strings.Contains(line, "request_id=r-1") {
			t.Errorf("it is told as %s", line)
		}
		idle("GET /other")
		expect(t, "lines of two holders", said.count("is held idle"), 2)
		time.Sleep(time.Minute)
		idle("GET /idle")
		expect(t, "lines after a minute", said.count("is held idle"), 3)
		expect(t, "with the number", said.count("repeated=999"), 1)
	})
}

// streamer is who responds, and may say by name that he holds.
type streamer struct {
	owner
	kept bool
}

func (*streamer) Responding() bool { return true }
func (s *streamer) Kept() bool     { return s.kept }

func TestHoldIdleWarn_AStreamThatHoldsIsNamedForInformationWhereItSaysSo(t *testing.T) {
	var said log
	change := func(c *pool.Config) {
		c.HoldIdleWarn, c.Logger = 10*time.Millisecond, slog.New(slog.NewTextHandler(&said, nil))
	}
	bubble(t, &network{}, change, func(t *testing.T, p *pool.Pool) {
		for _, kept := range []bool{false, true} {
			for range 1000 {
				l := acquire(t, p, func(c *pool.Claim) { c.Owner = &streamer{owner{"GET /stream"}, kept} })
				time.Sleep(20 * time.Millisecond)
				synctest.Wait()
				giveBack(l)
			}
			time.Sleep(time.Minute)
		}
		lines := said.entries()
		if len(lines) != 2 || !strings.Contains(lines[0], `level=WARN msg="db: a stream holds a connection idle; `) ||
			!strings.Contains(lines[1], `level=INFO msg="db: a stream holds a connection idle, as its code says by name"`) {
			t.Errorf("it is told as %s", strings.Join(lines, "\n"))
		}
	})
}

func TestHoldLimit_TakesAConnectionAwayAndServesTheNext(t *testing.T) {
	var said log
	change := func(c *pool.Config) {
		c.Max, c.HoldLimit, c.AcquireTimeout = 1, 2*time.Second, time.Minute
		c.Logger = slog.New(slog.NewTextHandler(&said, nil))
	}
	n := &network{}
	bubble(t, n, change, func(t *testing.T, p *pool.Pool) {
		began := time.Now()
		greedy := acquire(t, p, of(&owner{"greedy"}))
		var waited sync.WaitGroup
		waited.Go(func() {
			if err := use(p, "select"); err != nil {
				t.Error(err)
			}
			expectTook(t, "the wait of the next", began, 2*time.Second)
		})
		waited.Wait()
		err := run(greedy, "select")
		expectError(t, "its next statement", err, pool.ErrHoldLimit)
		expectError(t, "which is also", err, pool.ErrReleased)
		if text := err.Error(); strings.Count(text, "fake_test.go:") != 2 || !strings.Contains(text, "HOLD_LIMIT") {
			t.Errorf("the error does not name both places and the setting: %s", text)
		}
		expect(t, "connections opened", p.Stats().Opened, 1)
		expect(t, "errors in the log about it", said.count("holder=greedy"), 1)

		// A statement that runs is cancelled.
		began = time.Now()
		l := acquire(t, p, of(&owner{"slow"}))
		expectError(t, "a statement that takes longer", run(l, "hang"), pool.ErrHoldLimit)
		expectTook(t, "it", began, 2*time.Second)
	})
}

func TestHoldIdleWarn_ComesInTimeWhileAnotherLimitIsFar(t *testing.T) {
	var said log
	change := func(c *pool.Config) {
		c.HoldIdleWarn, c.HoldLimit, c.Logger = time.Second, time.Hour, slog.New(slog.NewTextHandler(&said, nil))
	}
	bubble(t, &network{}, change, func(t *testing.T, p *pool.Pool) {
		first := acquire(t, p, of(&owner{"first"}))
		time.Sleep(10 * time.Second) // it was warned of; its limit is an hour away
		second := acquire(t, p, of(&owner{"second"}))
		time.Sleep(time.Second)
		synctest.Wait()
		expect(t, "warnings", said.count("holder=first")+said.count("holder=second"), 2)
		giveBack(first)
		giveBack(second)
	})
}

func TestHolds_AreWatchedByNobodyWhileThereAreNone(t *testing.T) {
	change := func(c *pool.Config) { c.HoldIdleWarn, c.HoldLimit = time.Second, time.Second }
	bubble(t, &network{}, change, func(t *testing.T, p *pool.Pool) {
		for range 1000 {
			if err := use(p, "sleep 10ms"); err != nil {
				t.Fatal(err)
			}
		}
		giveBack(acquire(t, p))
		if err := p.Close(context.Background()); err != nil { // with the timer armed
			t.Error(err)
		}
	})
}

func TestFingerprint_HasNoValues(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		`SELECT 1`: `SELECT ?`,
		`SELECT "u"."id" FROM "users" AS "u" WHERE ("u"."name" = 'O''Brien') LIMIT 1`: `SELECT "u"."id" FROM "users" AS "u" WHERE ("u"."name" = ?) LIMIT ?`,
		`INSERT INTO t1 VALUES (1, 'a', -2.5e-3, NULL), (2, E'it\'s', .5, TRUE)`:      `INSERT INTO t1 VALUES (?..., -?, NULL), (?..., TRUE)`,
		`WHERE id IN (1, 2, 3,4)`:                      `WHERE id IN (?...)`,
		`SELECT $1, $2::int`:                           `SELECT $1, $2::int`,
		`SELECT $tag$a 'secret' $ b$tag$, $$c$$`:       `SELECT ?...`,
		"SELECT 1 -- the secret\n, /* and */ 'x'\n'y'": `SELECT ?...`,
		`SELECT x'ff', '\xff', 0x1F, 1_000`:            `SELECT ?...`,
		`SELECT 'no end, secret`:                       `SELECT ?`,
		`SELECT $q$no end, secret`:                     `SELECT ?`,
		`SELECT E'\`:                                   `SELECT ?`,
		`UPDATE "it's" SET a1 = 'x' WHERE b_2='y'`:     `UPDATE "it's" SET a1 = ? WHERE b_2=?`,
		`/* no end`:                        ``,
		``:                                 ``,
		strings.Repeat("SELECT col, ", 10): strings.Repeat("SELECT col, ", 10)[:80] + "...",
		`VALUES ('` + strings.Repeat("x", 10000) + `', 2)`: `VALUES (?...)`,
	} {
		expect(t, query, pool.Fingerprint(query), want)
	}
}

func FuzzFingerprint(f *testing.F) {
	f.Add("SELECT 'a', ")
	f.Add(`E'\`)
	f.Add("$a$")
	f.Add("x'")
	f.Fuzz(func(t *testing.T, query string) {
		pool.Fingerprint(query) // whatever the text is, it ends and does not panic
		if got := pool.Fingerprint("SELECT '" + strings.ReplaceAll(query, "'", "''") + "' AS x"); got != "SELECT ? AS x" {
			t.Errorf("of a string: %q", got)
		}
	})
}

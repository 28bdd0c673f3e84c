package apptest_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

const hundred = 100

// gathering lets as many tests as run at once wait for each other.
type gathering struct {
	came atomic.Int64
	full chan struct{}
	size int64
}

func newGathering(t *testing.T) *gathering {
	parallel, err := strconv.Atoi(flag.Lookup("test.parallel").Value.String())
	if err != nil {
		t.Fatal(err)
	}
	return &gathering{full: make(chan struct{}), size: int64(min(parallel, hundred))}
}

func (g *gathering) wait() {
	if g.came.Add(1) == g.size {
		close(g.full)
	}
	<-g.full
}

// A view inserts, releases, and streams; the test sees the row, and the next one does
// not. A hundred tests do so, each in a transaction of its own, as many at once as go
// test lets run: all of them in the test below, on a pool of ten.
func TestWrapped_AHundredTestsInParallel(t *testing.T) {
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			together := newGathering(t)
			for i := range hundred {
				t.Run(fmt.Sprint(i), func(t *testing.T) {
					t.Parallel()
					site := apptest.New(t, on(engine, urls))
					text := fmt.Sprintf("note %d", i)
					r := site.Client.Get("/export?text=note+" + fmt.Sprint(i))
					if r.StatusCode != http.StatusOK || r.Text() != text+"\n" {
						t.Errorf("status %d, %q, %v", r.StatusCode, r.Text(), r.Err)
					}
					if !r.ReleasedBeforeBody {
						t.Errorf("held: %v", r.Held)
					}
					together.wait() // each with its transaction open
					n, err := db.From(site.Context).NewSelect().Model((*note)(nil)).Where("text = ?", text).Count(site.Context)
					if all, allErr := count(site.Context); n != 1 || all != 1 || errors.Join(err, allErr) != nil {
						t.Errorf("%d of %d rows, %v, %v; want the test's one", n, all, err, allErr)
					}
				})
			}
		})
	}
}

func TestWrapped_AHundredTestsAtOnce(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWrapped_AHundredTestsInParallel$", "-test.parallel="+fmt.Sprint(hundred), "-test.v", "-test.timeout=10m")
	output, err := cmd.CombinedOutput()
	for _, engine := range []string{dbtest.SQLite, dbtest.Postgres} {
		passed := bytes.Count(output, []byte("--- PASS: TestWrapped_AHundredTestsInParallel/"+engine+"/"))
		skipped := bytes.Count(output, []byte("--- SKIP: TestWrapped_AHundredTestsInParallel/"+engine))
		if passed != hundred && (engine == dbtest.SQLite || skipped == 0) || err != nil {
			t.Errorf("%s: %d passed, %v\n%s", engine, passed, err, output)
		}
	}
}

// closing is Django's question: what a view does about its connections is no matter of
// the test around it.
func closing(site *app.Site) {
	urls(site)
	for path, release := range map[string]func(ctx context.Context) error{
		"/close-old": db.CloseOldConnections,
		"/release":   func(ctx context.Context) error { return db.Release(ctx) },
		"/close":     func(ctx context.Context) error { return db.From(ctx).Close() },
	} {
		site.GET(path, func(r *views.Request) (views.Response, error) {
			if err := insert(r.Context(), path); err != nil {
				return nil, err
			}
			if err := release(r.Context()); err != nil {
				return nil, err
			}
			if held := db.Holders(r.Context()); held != nil {
				return nil, fmt.Errorf("held after the release: %v", held)
			}
			n, err := count(r.Context())
			return views.Text{Body: fmt.Sprint(n)}, err
		})
	}
}

func TestWrapped_AViewThatClosesItsConnectionsLosesNothing(t *testing.T) {
	onEach(t, closing, func(t *testing.T, site *apptest.Site) {
		for i, path := range []string{"/close-old", "/release", "/close"} {
			r := site.Client.Get(path)
			if r.StatusCode != http.StatusOK || r.Text() != fmt.Sprint(i+1) || r.Err != nil {
				t.Errorf("%s: status %d, %q, %v", path, r.StatusCode, r.Text(), r.Err)
			}
			released := apptest.Sent[signals.ConnectionReleased](r)
			if len(released) != 2 || released[0].Queries != 1 || released[1].Queries != 1 {
				t.Errorf("%s: released %+v", path, released)
			}
		}
		if n, err := count(site.Context); n != 3 || err != nil {
			t.Errorf("%d notes, %v", n, err)
		}
		s := site.Connections().Stats(db.DefaultAlias)
		if s.Opened != 7 || s.Closed != 6 || s.InUse != 1 { // CONN_MAX_AGE is 0, and the last is the test's
			t.Errorf("%+v", s)
		}
	})
}

// What a live server commits is seen by the test, and the other way round.
func TestWrapped_ALiveServerIsInTheTransaction(t *testing.T) {
	onEach(t, urls, func(t *testing.T, site *apptest.Site) {
		live := site.LiveServer()
		client := &http.Client{}
		defer client.CloseIdleConnections()
		get := func(path string) string {
			r, err := client.Get(live.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			content, err := io.ReadAll(r.Body)
			if r.StatusCode != http.StatusOK || err != nil {
				t.Errorf("%s: status %d, %q, %v", path, r.StatusCode, content, err)
			}
			return string(content)
		}
		if got := get("/export?text=live"); got != "live\n" {
			t.Errorf("%q", got)
		}
		if n, err := count(site.Context); n != 1 || err != nil {
			t.Errorf("%d notes, %v", n, err)
		}
		if err := insert(site.Context, "here"); err != nil {
			t.Error(err)
		}
		if got := get("/"); got != "<ul><li>live</li><li>here</li></ul>" {
			t.Errorf("%q", got)
		}
		if r := site.Client.Get("/"); r.Text() != "<ul><li>live</li><li>here</li></ul>" {
			t.Errorf("%q", r.Text())
		}
	})
}

// Streams that query while they run, and requests beside them, share the transaction
// and nothing else.
func TestWrapped_RequestsAtTheSameTime(t *testing.T) {
	onEach(t, urls, func(t *testing.T, site *apptest.Site) {
		for i := range 20 {
			if err := insert(site.Context, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		s := site.Client.Stream("/export")
		defer s.Close()
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
		done := make(chan string)
		const clients = 20
		for i := range clients {
			go func() {
				r := site.NewClient().Get(fmt.Sprintf("/export?text=from+%d", i))
				if !strings.Contains(r.Text(), fmt.Sprintf("from %d\n", i)) || !r.ReleasedBeforeBody || r.Broken != nil {
					done <- fmt.Sprintf("status %d, %v, %v, held %v", r.StatusCode, r.Err, r.Broken, r.Held)
				}
				done <- ""
			}()
		}
		for range clients {
			if text := <-done; text != "" {
				t.Error(text)
			}
		}
		for _, err := range s.Chunks() {
			if err != nil {
				t.Error(err)
			}
		}
		if n, err := count(site.Context); n != 41 || err != nil {
			t.Errorf("%d notes, %v", n, err)
		}
	})
}

// A request that the test sends from within a block of its own would wait for the
// test, which waits for it.
func TestWrapped_ARequestWithinABlockOfTheTestSaysSo(t *testing.T) {
	onEach(t, urls, func(t *testing.T, site *apptest.Site) {
		err := db.Atomic(site.Context, func(ctx context.Context) error {
			r := site.Client.Get("/")
			if r.StatusCode != http.StatusInternalServerError || !errors.Is(r.Err, dbtest.ErrWrapped) {
				t.Errorf("status %d, %v, want ErrWrapped", r.StatusCode, r.Err)
			}
			return insert(ctx, "a")
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestRealCommits_AreSeenFromOutside(t *testing.T) {
	onEach(t, urls, func(t *testing.T, site *apptest.Site) {
		err := db.Atomic(site.Context, func(ctx context.Context) error {
			if err := insert(ctx, "a"); err != nil {
				return err
			}
			if site.Connections().Stats(db.DefaultAlias).InUse != 1 {
				t.Error("the block has no connection")
			}
			if db.From(ctx).Dialect().Name().String() == "pg" { // SQLite lets one write at a time
				return db.Run(ctx, "child", func(ctx context.Context) error {
					if n, err := count(ctx); n != 0 || err != nil {
						t.Errorf("the child sees %d notes, %v", n, err)
					}
					return insert(ctx, "b")
				})
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}, apptest.RealCommits())
}

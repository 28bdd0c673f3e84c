package apptest

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/internal/within"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/signals"
)

// Site is a site under test, with everything that an [app.Site] has.
type Site struct {
	*app.Site

	// Client sends requests to the site.
	Client *Client
	// Context is in a scope of the site, for what the test itself asks the
	// database: db.From(site.Context). It ends with the test.
	Context context.Context //nolint:containedctx // of the test, which it does not outlive

	t        testing.TB
	base     context.Context //nolint:containedctx // of the requests
	patience context.Context //nolint:containedctx // ends shortly before the test's deadline
	stop     context.CancelFunc
	scope    *db.Scope
	network  *network
	server   *http.Server

	mu      sync.Mutex // guards the rest
	streams []*Stream
	servers []*LiveServer
	queries []*[]Query
	leaks   []string
}

// New makes the site of newSite for one test. What newSite does is what it does in
// production, but for the settings: DEBUG is false, the hosts of the client and of
// the live server are allowed, the log goes to the test, and each alias that
// [Databases] names has a migrated database that belongs to the test. Settings and
// Options that newSite passes to [app.New] are changed on the way, in the goroutine
// that calls New and nowhere else.
//
// When the test ends, the site is closed. The test fails when something is left
// then, each with its place: streams neither read nor closed, connections, rows and
// transactions, goroutines that the test or its requests have started.
//
// New ends the test when newSite fails, and skips it when it wants PostgreSQL and
// that is not installed, as package dbtest does.
func New(t testing.TB, newSite func() (*app.Site, error), options ...Option) *Site {
	t.Helper()
	dbtest.Goroutines(t)
	p := &plan{}
	for _, o := range options {
		o.apply(p)
	}
	s := &Site{t: t, network: newNetwork()}
	d := &databases{t: t, newSite: newSite, plan: p, reserved: make(map[string]reserved)}
	asked, err := false, error(nil)
	within.ForTest(func(settings *app.Settings, o *app.Options) {
		asked = true
		err = s.change(settings, o, d)
	}, func() {
		var siteErr error
		s.Site, siteErr = newSite()
		err = errors.Join(err, siteErr)
	})
	if err != nil && s.Site != nil {
		err = errors.Join(err, s.Close())
	}
	switch {
	case err != nil:
		t.Fatalf("apptest: the site cannot be made: %v", err)
	case s.Site == nil:
		t.Fatal("apptest: the site's New returned neither a site nor an error")
	case !asked:
		t.Log(s.Close())
		t.Fatal("apptest: the site's New did not call app.New in the goroutine of its caller; the settings are not those of a test")
	}
	d.site = s.Site
	s.begin(t)
	return s
}

// change makes the settings and options those of a test.
func (s *Site) change(settings *app.Settings, o *app.Options, d *databases) error {
	settings.Debug = false
	settings.Databases = maps.Clone(settings.Databases)
	for _, change := range d.plan.settings {
		change(settings)
	}
	if err := d.plan.check(settings.Databases); err != nil {
		return err
	}
	settings.AllowedHosts = append(slices.Clone(settings.AllowedHosts), Host, "localhost", "127.0.0.1", "::1")
	d.rewire(settings, o)

	o.Logger = slog.New(slog.NewTextHandler(s.t.Output(), nil))
	onQuery := o.OnQuery
	o.OnQuery = func(ctx context.Context, alias string, q db.Query) {
		s.queried(ctx, Query{alias, q})
		if onQuery != nil {
			onQuery(ctx, alias, q)
		}
	}
	routes := o.Routes
	o.Routes = func(site *app.Site) {
		d.site = site // the receivers and Ready of its apps may query before New returns
		if routes != nil {
			routes(site)
		}
	}
	return nil
}

// begin opens the site.
func (s *Site) begin(t testing.TB) {
	bus := s.Bus()
	hear(&bus.RequestStarted)
	hear(&bus.ResponseStarted)
	hear(&bus.RequestFailed)
	hear(&bus.RequestFinished)
	hear(&bus.TemplateRendered)
	hear(&bus.CallbackFinished)
	hear(&bus.ConnectionReleased)
	bus.ConnectionReleased.Connect(func(_ context.Context, event signals.ConnectionReleased) error {
		if event.LeftOpen != "" {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.leaks = append(s.leaks, fmt.Sprintf("%s on %q: %s", event.Holder, event.Alias, event.LeftOpen))
		}
		return nil
	})
	s.patience, s.stop = dbtest.Patience(t)
	s.Context, s.scope = s.Connections().NewScope(valued{s.patience, s.Site.Context()}, t.Name())
	s.base = s.Context
	s.Client = s.NewClient()
	s.server = s.serve()
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(s.network) }()
	t.Cleanup(func() { s.finish(served) })
}

// hear notes the signals of requests that have an exchange.
func hear[E any](signal *signals.Signal[E]) {
	signal.Connect(func(ctx context.Context, event E) error {
		if x := exchangeOf(ctx); x != nil {
			x.hear(event)
		}
		return nil
	})
}

// valued is a context with the values of another one.
type valued struct {
	context.Context
	values context.Context //nolint:containedctx // this is what it is
}

func (c valued) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.values.Value(key)
}

// queried notes a statement, for its request and for who counts.
func (s *Site) queried(ctx context.Context, q Query) {
	if x := exchangeOf(ctx); x != nil {
		x.mu.Lock()
		x.queries = append(x.queries, q)
		x.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.queries {
		*list = append(*list, q)
	}
}

// Queries runs fn and returns the statements that the site has sent meanwhile, the
// test's own included, in the order of their answers. BEGIN, COMMIT and SAVEPOINT
// count; what prepares a connection does not. Calls may be nested: the outer one has
// what the inner one has. Django's CaptureQueriesContext, and assertNumQueries with
// len.
func (s *Site) Queries(fn func()) []Query {
	var list []Query
	s.mu.Lock()
	s.queries = append(s.queries, &list)
	s.mu.Unlock()
	stop := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.queries = slices.DeleteFunc(s.queries, func(other *[]Query) bool { return other == &list })
	}
	defer stop()
	fn()
	stop()
	return list
}

func (s *Site) opened(stream *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams = append(s.streams, stream)
}

func (s *Site) closed(stream *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams = slices.DeleteFunc(s.streams, func(other *Stream) bool { return other == stream })
}

// finish is the end of the test.
func (s *Site) finish(served <-chan error) {
	s.mu.Lock()
	streams, servers := slices.Clone(s.streams), slices.Clone(s.servers)
	s.mu.Unlock()
	for _, stream := range streams {
		s.t.Errorf("apptest: %s was neither read to its end nor closed", stream)
		stream.Close()
	}
	for _, h := range db.Holders(s.Context) {
		if h.Open {
			s.t.Errorf("apptest: the test has left something open on %q: %s", h.Alias, h)
		}
	}
	if err := s.scope.End(); err != nil {
		s.t.Error(err)
	}
	for _, server := range servers {
		if err := server.close(); err != nil {
			s.t.Errorf("apptest: live server: %v", err)
		}
	}
	s.settle()
	s.mu.Lock()
	for _, leak := range s.leaks {
		s.t.Errorf("apptest: left open, and closed by the release: %s", leak)
	}
	s.mu.Unlock()
	if err := s.server.Close(); err != nil {
		s.t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		s.t.Error(err)
	}
	s.stop()
	if err := s.Close(); err != nil {
		s.t.Error(err)
	}
}

// settleLimit is how long a handler may take for its last steps when its client has
// its answer.
const settleLimit = time.Second

// settle waits until nobody holds a connection, and says who still does.
func (s *Site) settle() {
	deadline := time.Now().Add(settleLimit)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for len(s.Connections().Holders()) > 0 && time.Now().Before(deadline) {
		<-again.C
	}
	for _, h := range s.Connections().Holders() {
		s.t.Errorf("apptest: a connection of %q is still leased: %s", h.Alias, h)
	}
}

// holders names who holds what, for a request that does not end.
func (s *Site) holders() string {
	var b strings.Builder
	for _, h := range s.Connections().Holders() {
		fmt.Fprintf(&b, "\n\t%q: %s", h.Alias, h)
	}
	return b.String()
}

func (s *Site) errorLog() *log.Logger { return slog.NewLogLogger(s.Logger().Handler(), slog.LevelWarn) }

// place is where the test called.
func place() string {
	p := pool.Here(2)
	return p.String()
}

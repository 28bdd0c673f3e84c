package app

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/goquintet/quintet/app/internal/within"
	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
	"github.com/goquintet/quintet/views/debug"
)

// Site is one site: an [http.Handler] with its databases, its signals, its
// routes and its templates. Sites in one process share nothing. After [New], all
// methods may be called concurrently.
type Site struct {
	routes
	settings    Settings
	options     Options
	bus         signals.Bus
	connections *db.Connections
	logger      *slog.Logger
	notices     *db.Notices
	admission   *admission
	router      *router
	templates   *views.Templates
	static      []fs.FS
	own         *lifeCycle
	requests    requests
	serving     serving
	admin       adminListener
	health      health
	recorder    *live.Recorder
	page        http.Handler // that shows what it records; nil unless DEBUG
	technical   *debug.Page  // of errors; nil unless DEBUG
	context     atomic.Pointer[context.Context]

	// While New runs, and never changed after it.
	apps    []App
	table   []*route
	byShape map[string]*route
	byName  map[string]*route
	wired   bool
	errs    []error
}

var _ http.Handler = (*Site)(nil)

// New makes a site. It opens nothing: databases are connected to by the first
// statement, and nothing listens. The Ready of each app runs at its end, in the
// order of the apps; what it queries is opened then.
//
// Every mistake is reported at once, joined: *[ConfigError] values with file and
// line for settings that [Load] has read, *[WiringError] values for the options.
// After an error there is no site, and nothing is left open.
func New(settings Settings, options Options) (*Site, error) {
	if change, ok := within.Test().(func(*Settings, *Options)); ok {
		change(&settings, &options)
	}
	s := &Site{options: options, byShape: make(map[string]*route), byName: make(map[string]*route)}
	s.site = s
	s.errs = append(s.errs, settings.Validate())
	s.settings = settings.WithDefaults()
	s.logger = newLogger(options.Logger, s.settings.LogLevel)
	s.notices = &db.Notices{Logger: s.logger}
	var ctx context.Context = &siteContext{context.Background(), s}
	s.context.Store(&ctx)
	if s.settings.Debug {
		s.bus.OnDuplicate(s.logDuplicate)
		s.technical = debug.New()
	}

	s.openConnections()
	s.openRecorder()
	s.admin.begin(s)
	s.router = newRouter(s)
	for _, a := range options.Apps {
		s.list(a)
	}
	if options.Routes != nil {
		options.Routes(s)
	}
	s.gatherFiles()
	s.wrapMiddleware()
	var err error
	if s.admission, err = newAdmission(s.settings); err != nil && s.errs[0] == nil {
		s.errs = append(s.errs, err)
	}
	s.wired = true

	err = errors.Join(s.errs...)
	if err == nil {
		err = s.ready()
	}
	if err != nil {
		return nil, errors.Join(err, s.connections.Close(context.Background()))
	}
	return s, nil
}

// openConnections opens the databases; what Validate has found in them already is
// not said twice.
func (s *Site) openConnections() {
	options := db.Options{
		Engines: s.options.Engines, Bus: &s.bus, Logger: s.logger, Notices: s.notices, OnConnect: s.options.OnConnect, Debug: s.settings.Debug,
		OnQuery: s.options.OnQuery,
	}
	connections, err := db.Open(s.settings.Databases, options)
	if err != nil {
		for _, mistake := range unjoin(s.settings.locate(err)) {
			if !s.isKnown(mistake) {
				s.errs = append(s.errs, mistake)
			}
		}
		if connections, err = db.Open(nil, options); err != nil {
			s.errs = append(s.errs, err)
		}
	}
	s.connections = connections
}

// isKnown reports whether Validate has complained of the same key.
func (s *Site) isKnown(mistake error) bool {
	m, ok := errors.AsType[*ConfigError](mistake)
	return ok && slices.ContainsFunc(unjoin(s.errs[0]), func(err error) bool {
		known, ok := errors.AsType[*ConfigError](err)
		return ok && (known.Key == m.Key || m.Key == "DATABASES" && known.Key == defaultDatabase)
	})
}

// list adds an app that Options.Apps names.
func (s *Site) list(a App) {
	what := fmt.Sprintf("app %q", a.Name)
	switch {
	case a.Name == "":
		s.wrong("app", "", "has no Name", "")
	case slices.ContainsFunc(s.apps, func(b App) bool { return b.Name == a.Name }):
		s.wrong(what, "", "is listed twice", "a name belongs to one app")
	default:
		s.apps = append(s.apps, a)
	}
}

// join adds an app that is included, unless it is there.
func (s *Site) join(a App) {
	if !slices.ContainsFunc(s.apps, func(b App) bool { return b.Name == a.Name }) {
		s.list(a)
	}
}

// gatherFiles collects templates and static files: the site's own before those of
// its apps, so that they can replace them.
func (s *Site) gatherFiles() {
	templates := []fs.FS{s.options.Templates}
	s.static = []fs.FS{s.options.Static}
	for _, a := range s.apps {
		templates = append(templates, a.Templates)
		s.static = append(s.static, a.Static)
	}
	isNil := func(f fs.FS) bool { return f == nil }
	templates, s.static = slices.DeleteFunc(templates, isNil), slices.DeleteFunc(s.static, isNil)
	var err error
	s.templates, err = s.parseTemplates(templates, s.settings.Debug)
	if err != nil {
		s.errs = append(s.errs, err)
	}
	s.serveStatic()
}

// parseTemplates reads templates; with debug it leaves each to its first use.
func (s *Site) parseTemplates(folders []fs.FS, debug bool) (*views.Templates, error) {
	return views.NewTemplates(views.TemplateOptions{
		FS: folders, Debug: debug,
		Funcs:    template.FuncMap{"url": (*views.Request).Reverse, "static": s.staticURL},
		Rendered: s.rendered,
	})
}

// rendered tells the receivers of TemplateRendered.
func (s *Site) rendered(r *views.Request, name string, data any) {
	if !s.bus.TemplateRendered.HasReceivers() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.settings.CleanupTimeout)
	defer cancel()
	event := signals.TemplateRendered{Request: r.Request, Name: name, Data: data}
	s.report("TemplateRendered", s.bus.TemplateRendered.SendRobust(ctx, event))
}

func (s *Site) wrapMiddleware() {
	s.own = &lifeCycle{site: s, inner: s.router, chain: s.router}
	for i, middleware := range slices.Backward(s.options.Middleware) {
		what := fmt.Sprintf("Options.Middleware[%d]", i)
		if middleware == nil {
			s.wrong(what, "", "is nil", "")
			continue
		}
		handler := middleware(s.own.chain)
		if handler == nil {
			s.wrong(what, "", nameOf(middleware)+" returned no handler", "return next when there is nothing to add")
			continue
		}
		s.own.chain = handler
	}
}

// ready runs the Ready of each app.
func (s *Site) ready() error {
	base := s.Context()
	defer s.context.Store(&base)
	for _, a := range s.apps {
		if a.Ready == nil {
			continue
		}
		err := s.connections.Run(base, "ready "+a.Name, func(ctx context.Context) error {
			s.context.Store(&ctx)
			return a.Ready(s)
		})
		if err != nil {
			return &WiringError{What: fmt.Sprintf("app %q", a.Name), Problem: "is not ready: " + err.Error(), Err: err}
		}
	}
	return nil
}

// ServeHTTP answers a request, from its beginning to its end. Mounted below a
// path, http.StripPrefix("/shop", site), the site finds the prefix by itself.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.own.ServeHTTP(w, r) }

// Wrap gives a foreign handler the life of the site's own: signals, a scope with
// the release before the first byte, admission, middleware, the log. What it panics
// with becomes the site's error page. A handler that is reached within a request
// of the same site, a wrapped site among them, takes part in that one: no second
// scope, no second signal. Another site inside has its own.
//
// Wrap panics when a middleware returns no handler.
func (s *Site) Wrap(next http.Handler) http.Handler {
	if next == nil {
		panic("app: Wrap: the handler is nil")
	}
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := requestOf(r.Context(), s)
		if q == nil {
			next.ServeHTTP(w, r)
			return
		}
		defer q.guard()
		q.serveForeign(w, r, next)
	})
	l := &lifeCycle{site: s, inner: inner, chain: inner, foreign: true}
	for _, middleware := range slices.Backward(s.options.Middleware) {
		if l.chain = middleware(l.chain); l.chain == nil {
			panic("app: Wrap: " + nameOf(middleware) + " returned no handler")
		}
	}
	return l
}

// Settings returns what the site was made with, every default filled in.
func (s *Site) Settings() Settings { return s.settings }

// Bus returns the signals of the site.
func (s *Site) Bus() *signals.Bus { return &s.bus }

// Connections returns the databases of the site: Django's connections.
func (s *Site) Connections() *db.Connections { return s.connections }

// Apps returns the apps of the site, the included ones last.
func (s *Site) Apps() []App { return slices.Clone(s.apps) }

// Context returns the context of the site for what belongs to no request, a
// command or a task: [From] finds the site in it, and db.Run with it works once
// a scope is open, [db.Connections.Run]. While [App.Ready] runs it is in a scope
// of that app.
func (s *Site) Context() context.Context { return *s.context.Load() }

func (s *Site) wrong(what, at, problem, hint string) {
	s.errs = append(s.errs, &WiringError{What: what, At: at, Problem: problem, Hint: hint})
}

func (s *Site) mustBeWiring(format string, args ...any) {
	if s.wired {
		panic(fmt.Sprintf("app: "+format+": the routes of a site are made while New runs; move this to Options.Routes", args...))
	}
}

func (s *Site) logDuplicate(d signals.Duplicate) {
	s.logger.Debug("app: a uid is taken; nothing was connected", "event", d.Event, "uid", d.UID, "first", d.First, "second", d.Second)
}

// nameOf is the name of a function, with its place.
func nameOf(function any) string {
	f := runtime.FuncForPC(reflect.ValueOf(function).Pointer())
	file, line := f.FileLine(f.Entry())
	return fmt.Sprintf("%s (%s:%d)", f.Name(), filepath.Base(file), line)
}

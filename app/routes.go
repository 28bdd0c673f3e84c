package app

import (
	"fmt"
	"net/http"
	"path"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/views"
)

// Group is a part of the site's routes that share a prefix and options. Its
// methods are those of the [Site] itself. A group is used while [New] runs
// [Options.Routes], and by one goroutine.
type Group struct{ routes }

// routes are the methods that a Site and its Groups share.
type routes struct {
	site    *Site
	prefix  string
	app     string // that includes its routes here
	options []RouteOption
}

// RouteOption says more about a route, or about all of a group: [Name], [Lease],
// [Use], [MaxStreams], [NonAtomic], [RollbackOn5xx].
type RouteOption func(*route)

// Name names a route for [views.Request.Reverse] and the template function url.
// A name belongs to one path: routes of several methods may share it. Django's
// name= of path().
func Name(name string) RouteOption { return func(r *route) { r.Name = name } }

// Lease says how long a route holds a database connection, in place of CONN_LEASE.
func Lease(l db.Lease) RouteOption { return func(r *route) { r.lease = l } }

// MaxStreams says how many streams of a route may run at once, beside MAX_STREAMS for
// all of the site; one more is answered with 503. Each route of a group has a count of
// its own. 0 is no limit.
func MaxStreams(n int) RouteOption { return func(r *route) { r.maxStreams = n } }

// Use puts a function around the view, inside of what was used before it: on the
// group, then on the route. It may answer in the view's place, or replace its
// response: the clean-up of one that is lost runs all the same. Django's view
// decorators.
func Use(wrap func(views.View) views.View) RouteOption {
	return func(r *route) { r.wraps = append(r.wraps, wrap) }
}

// Route is one line of the site's table of routes.
type Route struct {
	Method  string // "GET", which answers HEAD as well; "" for all
	Pattern string // "/polls/{id}"
	Name    string // "" when it has none
	Place   string // file:line where it was registered
	View    string // "polls.List": the function that answers
	Source  string // file:line of that function; of the registration where it has none of its own
	App     string // that registered it; "" when the site did
}

// route is a Route and what answers it.
type route struct {
	Route
	pattern  pattern
	text     string // "GET /polls/{id}"
	original views.View
	view     views.View // within its wraps
	wraps    []func(views.View) views.View
	lease    db.Lease

	maxStreams int
	streams    int // guarded by site.requests

	neverAtomic bool
	nonAtomic   []string // aliases
	rollback5xx bool
}

// GET registers a view for GET and HEAD requests of a path.
//
// The pattern is written as for [net/http.ServeMux], without method and host:
// "/polls/{id}", "/files/{path...}". It takes whole paths, as Django's do: "/"
// takes the home page only. Where several patterns take a path, a literal segment
// goes before a wildcard, and a wildcard before one that takes the rest; a path
// that none takes for its method falls to the next that does. The values of the
// wildcards are decoded once: Request.PathValue. A segment with %2F in it is one
// segment.
//
// Mistakes are collected and returned by [New]. After New, the routes of a site
// do not change any more: registering one panics.
func (rs *routes) GET(pattern string, view views.View, options ...RouteOption) {
	rs.add(http.MethodGet, pattern, view, options)
}

// POST registers a view for POST requests of a path; see GET.
func (rs *routes) POST(pattern string, view views.View, options ...RouteOption) {
	rs.add(http.MethodPost, pattern, view, options)
}

// PUT registers a view for PUT requests of a path; see GET.
func (rs *routes) PUT(pattern string, view views.View, options ...RouteOption) {
	rs.add(http.MethodPut, pattern, view, options)
}

// PATCH registers a view for PATCH requests of a path; see GET.
func (rs *routes) PATCH(pattern string, view views.View, options ...RouteOption) {
	rs.add(http.MethodPatch, pattern, view, options)
}

// DELETE registers a view for DELETE requests of a path; see GET.
func (rs *routes) DELETE(pattern string, view views.View, options ...RouteOption) {
	rs.add(http.MethodDelete, pattern, view, options)
}

// Any registers a view for the requests of a path that no other route takes,
// whatever their method; see GET.
func (rs *routes) Any(pattern string, view views.View, options ...RouteOption) {
	rs.add("", pattern, view, options)
}

// Group returns the routes below a prefix, with options for all of them.
func (rs *routes) Group(prefix string, options ...RouteOption) *Group {
	return &Group{routes{
		site: rs.site, prefix: rs.prefix + strings.TrimRight(prefix, "/"), app: rs.app,
		options: slices.Concat(rs.options, options),
	}}
}

// Include registers the routes of an app below a prefix: Django's include. An app
// that is not among [Options.Apps] joins the site, after those that are.
func (rs *routes) Include(prefix string, a App) {
	rs.site.mustBeWiring("Include(%q, App %q)", prefix, a.Name)
	rs.site.join(a)
	if a.Routes != nil {
		g := rs.Group(prefix)
		g.app = a.Name
		a.Routes(g)
	}
}

func (rs *routes) add(method, path string, view views.View, options []RouteOption) {
	s := rs.site
	r := &route{Route: Route{Method: method, Pattern: rs.prefix + path, App: rs.app}, original: view}
	r.text = strings.TrimSpace(method + " " + r.Pattern)
	s.mustBeWiring("route %q", r.text)
	at := pool.Here(2)
	r.Place = at.String()

	var err error
	if r.pattern, err = parsePattern(rs.prefix, path); err != nil {
		s.wrong(r.what(), r.Place, err.Error(), "")
		return
	}
	r.Pattern = r.pattern.text
	r.text = strings.TrimSpace(method + " " + r.Pattern)
	for _, option := range slices.Concat(rs.options, options) {
		option(r)
	}
	if view == nil {
		s.wrong(r.what(), r.Place, "has no view", "")
		return
	}
	if r.maxStreams < 0 {
		s.wrong(r.what(), r.Place, fmt.Sprintf("has MaxStreams(%d), which is negative", r.maxStreams), "use 0 for no limit")
		return
	}
	r.View, r.Source = describeView(view, r.Place)
	if !r.checkAliases(s) || !r.wrapView(s) || !s.register(r) {
		return
	}
	s.router.add(r)
}

// describeView names the function of a view and its place. A method that is used as
// a value is called by a function without source: it gets the place otherwise.
func describeView(view views.View, otherwise string) (name, place string) {
	f := runtime.FuncForPC(reflect.ValueOf(view).Pointer())
	name = strings.TrimSuffix(path.Base(f.Name()), "-fm")
	file, line := f.FileLine(f.Entry())
	if !strings.HasSuffix(file, ".go") {
		return name, otherwise
	}
	return name, fmt.Sprintf("%s/%s:%d", path.Base(path.Dir(file)), path.Base(file), line)
}

func (r *route) what() string { return fmt.Sprintf("route %q", r.text) }

// wrapView puts the wraps around the view, the first outermost.
func (r *route) wrapView(s *Site) bool {
	r.view = r.original
	if len(r.wraps) > 0 {
		r.view = keepCleanUp(r.view)
	}
	for _, wrap := range slices.Backward(r.wraps) {
		if wrap == nil {
			s.wrong(r.what(), r.Place, "uses nil", "")
			return false
		}
		if r.view = wrap(r.view); r.view == nil {
			s.wrong(r.what(), r.Place, "uses "+nameOf(wrap)+", which returned no view", "")
			return false
		}
	}
	return true
}

// register puts the route into the table, unless it is there.
func (s *Site) register(r *route) bool {
	key := r.Method + " " + r.pattern.shape()
	if first, ok := s.byShape[key]; ok {
		s.wrong(r.what(), r.Place, fmt.Sprintf("is registered already, as %q at %s", first.text, first.Place), "remove one of them")
		return false
	}
	if first, ok := s.byName[r.Name]; ok && r.Name != "" && first.Pattern != r.Pattern {
		s.wrong(r.what(), r.Place, fmt.Sprintf("has the name %q of %q at %s", r.Name, first.text, first.Place), "a name belongs to one path")
		return false
	}
	s.byShape[key] = r
	if _, ok := s.byName[r.Name]; !ok && r.Name != "" {
		s.byName[r.Name] = r
	}
	s.table = append(s.table, r)
	return true
}

// Routes returns the table of routes, in the order of registration.
func (s *Site) Routes() []Route {
	table := make([]Route, len(s.table))
	for i, r := range s.table {
		table[i] = r.Route
	}
	return table
}

// Reverse returns the path of the named route with args for its wildcards in
// their order, without a prefix under which the site may be mounted: only a
// request knows that one, [views.Request.Reverse]. Django's reverse.
func (s *Site) Reverse(name string, args ...any) (string, error) {
	r, ok := s.byName[name]
	if !ok {
		hint := ""
		if near := nearest(name, s.names()); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		return "", fmt.Errorf("app: no route has the name %q%s", name, hint)
	}
	path, err := r.pattern.reverse(args)
	if err != nil {
		return "", fmt.Errorf("app: reverse %q: %w", name, err)
	}
	return path, nil
}

func (s *Site) names() []string {
	names := make([]string, 0, len(s.byName))
	for name := range s.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

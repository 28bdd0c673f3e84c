package app

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"runtime"
	"slices"

	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
	"github.com/goquintet/quintet/views/debug"
)

// technical reports whether DEBUG shows its own page for a status, whatever templates
// the site has: Django's technical_404_response and technical_500_response. Templates of
// other statuses may be of use, a 401 that asks for a password.
func (q *request) technical(status int) bool {
	return q.site.technical != nil &&
		(status == http.StatusBadRequest || status == http.StatusNotFound || status >= http.StatusInternalServerError)
}

// explain answers with the page of DEBUG.
func (q *request) explain(w http.ResponseWriter, r *http.Request, page ErrorPage, err error) {
	q.release() // before anything is read from disk, and so that the page tells of it
	failure := q.failure(r, page, err)
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	var body []byte
	isHTML := false
	if accepts(r, "text/html") {
		body, isHTML = q.site.technical.HTML(failure)
	} else {
		body = q.site.technical.Text(failure)
	}
	if isHTML {
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("Content-Security-Policy", q.site.technical.Policy())
	} else {
		header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	q.send(w, r, page.Status, body)
}

// failure is what there is to tell about the error.
func (q *request) failure(r *http.Request, page ErrorPage, err error) *debug.Failure {
	f := &debug.Failure{
		Status: page.Status, Err: err, Hint: hintOf(err), Request: r, ID: q.id, Route: q.routeText(), Template: q.site.templates.Source,
		Answer: fmt.Sprintf("%d %s", page.Status, page.Title), Live: views.NewRequest(q.http, q).Prefix() + live.Root,
		Secrets: q.site.secrets(),
	}
	if q.admitted {
		f.Settings = q.site.shownSettings()
	}
	if page.Message != page.Title {
		f.Answer += ": " + page.Message
	}
	if p, ok := errors.AsType[*PanicError](err); ok {
		f.Panic, f.Stack = p.Value, p.Stack
	} else if p, ok := errors.AsType[*signals.PanicError](err); ok { // of a receiver
		f.Panic, f.Stack = p.Value, p.Stack
	}
	if e, ok := errors.AsType[*db.AcquireError](err); ok {
		f.Holders = e.Holders
	}
	for _, route := range q.site.table {
		if route.text == f.Route {
			f.View = viewOf(route)
		}
	}
	q.mu.Lock()
	f.Form = q.form
	q.mu.Unlock()
	if page.Status == http.StatusNotFound && f.Route == "" {
		f.Routes, f.Nearest = q.site.shownRoutes(), q.nearestPath(r)
	}
	if record := q.recording.Record; record != nil {
		f.Scope = record.Story()
	}
	f.Statements = q.sent()
	return f
}

// hintOf is the hint of an error that has it in a field.
func hintOf(err error) string {
	if e, ok := errors.AsType[*ConfigError](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*WiringError](err); ok {
		return e.Hint
	}
	return ""
}

func viewOf(r *route) debug.View {
	f := runtime.FuncForPC(reflect.ValueOf(r.original).Pointer())
	file, line := f.FileLine(f.Entry())
	return debug.View{Name: r.View, File: file, Line: line, At: r.Place}
}

func (s *Site) shownRoutes() []debug.Route {
	shown := make([]debug.Route, len(s.table))
	for i, r := range s.table {
		shown[i] = debug.Route{Method: r.Method, Pattern: r.Pattern, Name: r.Name, View: r.View, At: r.Place}
	}
	return shown
}

// nearestPath is the path of a route that was perhaps meant, among those without
// wildcards.
func (q *request) nearestPath(r *http.Request) string {
	var paths []string
	for _, route := range q.site.table {
		if (route.Method == "" || route.Method == http.MethodGet) && len(route.pattern.names) == 0 {
			paths = append(paths, route.Pattern)
		}
	}
	const most = 200 // bytes of a path that is compared
	if len(r.URL.Path) > most {
		return ""
	}
	near := nearest(r.URL.Path, paths)
	if near == "" {
		return ""
	}
	return q.prefix() + (&url.URL{Path: near}).EscapedPath()
}

// shownSettings are the settings, with the origin "default" for those that have their
// default and "New" for what was not read from a file.
func (s *Site) shownSettings() []debug.Setting {
	values := s.settings.Values()
	defaults := make(map[string]Setting)
	for _, v := range s.settings.DefaultValues() {
		defaults[v.Key] = v
	}
	shown := make([]debug.Setting, len(values))
	for i, v := range values {
		origin := v.Origin
		if d, ok := defaults[v.Key]; ok && d.Equal(v) {
			origin = place{}.String()
		} else if origin == (place{}).String() {
			origin = "New"
		}
		shown[i] = debug.Setting{Key: v.Key, Value: v.Value, Origin: origin}
	}
	return shown
}

// secrets are the values of the settings that are not to be shown anywhere.
func (s *Site) secrets() (secrets []string) {
	for _, setting := range s.settings.Values() {
		v := reflect.ValueOf(setting.value)
		if setting.Value != db.Redact("PASSWORD", "a secret") || v.Kind() != reflect.String {
			continue
		}
		secrets = append(secrets, v.String())
		if u, err := url.Parse(v.String()); err == nil { // else it is no address with a password in it
			password, _ := u.User.Password()
			secrets = append(secrets, password)
		}
	}
	return secrets
}

// mostSent is how many of the last statements of each alias are remembered for what
// they may have left in the text of an error.
const mostSent = 256

func (q *request) sent() (sent []debug.Sent) {
	for _, alias := range slices.Sorted(maps.Keys(q.site.settings.Databases)) {
		queries := db.Using(q.http.Context(), alias).Queries()
		for _, query := range queries[max(0, len(queries)-mostSent):] {
			sent = append(sent, debug.Sent{Query: query.SQL, Failed: query.Err != nil})
		}
	}
	return sent
}

// keepForm is deferred around a view: what it has read of a form.
func (q *request) keepForm(r *views.Request) {
	if q.site.technical == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.form = r.PostForm
	if r.PostForm == nil && r.MultipartForm != nil {
		q.form = r.MultipartForm.Value
	}
}

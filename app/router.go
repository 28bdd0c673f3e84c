package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/goquintet/quintet/views"
)

// router is echo, and this file is all that app knows of it. What belongs to the
// life of a request happens outside of it: its error handler runs after its
// middleware, and its context goes back to a pool.
type router struct {
	site     *Site
	echo     *echo.Echo
	patterns map[string]pattern // by the router's path
}

func newRouter(s *Site) *router {
	rt := &router{site: s, echo: echo.New(), patterns: make(map[string]pattern)}
	rt.echo.HideBanner, rt.echo.HidePort = true, true
	rt.echo.HTTPErrorHandler = rt.failed
	rt.echo.Debug = s.settings.Debug
	rt.echo.IPExtractor = func(r *http.Request) string { return ClientIP(r).String() }
	rt.echo.SchemeExtractor = Scheme
	rt.echo.Logger.SetLevel(3) // log.WARN
	rt.echo.Logger.SetHeader("echo")
	rt.echo.Logger.SetOutput(echoLog{s})
	return rt
}

// beyond makes echo's wildcards end at a slash: one with nothing behind it would
// take the rest of the path.
const beyond = "/\x00"

func (rt *router) add(r *route) {
	path := r.pattern.routerPath()
	rt.patterns[path] = r.pattern
	handler := rt.handler(r)
	if strings.HasPrefix(path[strings.LastIndexByte(path, '/'):], "/:") {
		rt.echo.RouteNotFound(path+beyond, func(echo.Context) error { return echo.ErrNotFound })
	}
	switch r.Method {
	case "":
		rt.echo.RouteNotFound(path, handler)
	case http.MethodGet:
		rt.echo.Add(http.MethodHead, path, handler)
		rt.echo.Add(http.MethodGet, path, handler)
	default:
		rt.echo.Add(r.Method, path, handler)
	}
}

// ServeHTTP routes. The router gets the path as it wants it in a request of its
// own; the view gets its URL back.
func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := requestOf(r.Context(), rt.site)
	if q == nil {
		rt.site.lost(w, r)
		return
	}
	defer q.guard()
	r.Pattern = ""
	if path := routerPath(r.URL); path != r.URL.Path || r.URL.RawPath != "" {
		before := q.url
		defer func() { q.url = before }()
		q.url = r.URL
		u := *r.URL
		u.RawPath = path
		r = withURL(r, &u)
	}
	rt.echo.ServeHTTP(w, r)
}

// withURL copies a request. The copy is not made on the stack of its caller, which a
// stream keeps for as long as it lasts.
//
//go:noinline
func withURL(r *http.Request, u *url.URL) *http.Request {
	request := *r
	request.URL = u
	return &request
}

// handler answers with a view.
func (rt *router) handler(r *route) echo.HandlerFunc {
	return func(c echo.Context) error {
		q, request, err := rt.matched(r, c)
		if err != nil {
			return err
		}
		before := q.routed
		q.routed = c
		defer func() { q.routed = before }()
		return q.view(echoWriter{c.Response()}, request, r)
	}
}

// matched returns the request as the view of the route gets it.
func (rt *router) matched(r *route, c echo.Context) (*request, *http.Request, error) {
	q := requestOf(c.Request().Context(), rt.site)
	if q == nil {
		return nil, nil, errLost
	}
	path := echo.GetPath(c.Request())
	request := q.unrouted(c)
	if !r.setPathValues(c, request, path) {
		return nil, nil, echo.ErrNotFound
	}
	request.Pattern = r.text
	return q, request, nil
}

// setPathValues gives the request the values of the wildcards, and reports whether the
// pattern takes the path.
func (r *route) setPathValues(c echo.Context, request *http.Request, path string) bool {
	names := r.pattern.names
	if len(names) == 0 {
		return true
	}
	// The router's own values are gone when it had to turn back.
	c.SetParamNames(names...)
	values := c.ParamValues()
	if !r.pattern.match(path, values) {
		return false
	}
	for i, name := range names {
		request.SetPathValue(name, values[i])
	}
	return true
}

// unrouted gives the request the URL back that it had before the router saw it.
func (q *request) unrouted(c echo.Context) *http.Request {
	if q.url == nil {
		return c.Request()
	}
	r := withURL(c.Request(), q.url)
	c.SetRequest(r)
	return r
}

// failed is where every error of echo, its middleware and its handlers ends.
func (rt *router) failed(err error, c echo.Context) {
	q := requestOf(c.Request().Context(), rt.site)
	if q == nil {
		rt.site.lost(c.Response().Writer, c.Request())
		return
	}
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		err = rt.translate(e, err)
	}
	w, r := echoWriter{c.Response()}, q.unrouted(c)
	if w.Committed || q.writer.started.Load() {
		q.abort(err)
		panic(http.ErrAbortHandler)
	}
	if err == errNotFound { //nolint:errorlint // a view's own 404 is another
		var redirect views.Response
		if redirect, err = q.appendSlash(r); redirect != nil {
			err = redirect.Respond(w, views.NewRequest(r, q))
		} else if err == nil {
			err = errNotFound
		}
	}
	if err != nil {
		q.answer(w, r, err)
	}
}

// translate makes an error of views out of one of echo.
func (rt *router) translate(e *echo.HTTPError, err error) error {
	switch e {
	case echo.ErrNotFound:
		return errNotFound
	case echo.ErrMethodNotAllowed:
		return &views.Error{Status: e.Code}
	}
	message, _ := e.Message.(string)
	if message == http.StatusText(e.Code) {
		message = ""
	}
	return &views.Error{Status: e.Code, Message: message, Err: err}
}

// errNotFound is what the router says: no route takes the path.
var errNotFound error = &views.Error{Status: http.StatusNotFound}

// takes reports whether a route takes the path for this method.
func (rt *router) takes(method, path string) bool {
	c := rt.echo.AcquireContext()
	defer rt.echo.ReleaseContext(c)
	c.Reset(nil, nil)
	rt.echo.Router().Find(method, path, c)
	if c.Path() == "" || c.Get(echo.ContextKeyHeaderAllow) != nil {
		return false
	}
	p := rt.patterns[c.Path()] // one that echo was given directly has none
	return p.match(path, make([]string, len(p.names)))
}

// echoWriter is echo's response without its traps: it flushes with an error, does
// not take an early hint for the answer, and leaves the way to sendfile open.
type echoWriter struct{ *echo.Response }

func (w echoWriter) WriteHeader(status int) {
	if isInformational(status) {
		w.Writer.WriteHeader(status)
		return
	}
	w.Response.WriteHeader(status)
}

func (w echoWriter) Flush() { _ = w.FlushError() }

func (w echoWriter) FlushError() error {
	w.commit()
	return http.NewResponseController(w.Writer).Flush()
}

func (w echoWriter) ReadFrom(from io.Reader) (int64, error) {
	w.commit()
	n, err := io.Copy(w.Writer, from)
	w.Size += n
	return n, err
}

func (w echoWriter) commit() {
	if !w.Committed {
		w.Response.WriteHeader(http.StatusOK)
	}
}

// echoLog is where echo's own warnings go: of a second WriteHeader.
type echoLog struct{ site *Site }

func (l echoLog) Write(p []byte) (int, error) {
	l.site.logger.Log(l.site.Context(), slog.LevelWarn, strings.TrimSpace(string(p)))
	return len(p), nil
}

var errLost = fmt.Errorf("app: a middleware gave the request a context that is not derived from the one it had; use r.WithContext with a child of r.Context()")

// lost answers a request whose life cycle cannot be found any more.
func (s *Site) lost(w http.ResponseWriter, r *http.Request) {
	s.logger.ErrorContext(r.Context(), "app: the request cannot be served", keyErr, errLost)
	http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
}

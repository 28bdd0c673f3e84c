// Package echov4 is the way out to echo v4, the router that package app stands on:
// for handlers and middleware that exist already, and for what the framework does
// not have. No other package names a type of echo, so that a move to its next
// version touches this one and those who import it.
//
//	site.POST("/upload", echov4.View(upload)) // func upload(c echo.Context) error
//
//	e := echov4.Router(site)
//	e.Use(middleware.GzipWithConfig(...)) // in Options.Routes: inside of Options.Middleware
//
// What echo serves is part of the request's life like everything else: its
// connections go home before the first byte, its errors become the site's error
// pages, its panics are the life cycle's.
package echov4

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/internal/within"
	"github.com/goquintet/quintet/views"
)

// Router returns the router of the site. Routes and middleware are added to it
// while [app.New] runs Options.Routes, and not later: a router that serves must
// not be changed. Routes that it was given directly are not in [app.Site.Routes].
// Its error handler is the site's, and replacing it takes the site's error pages
// away.
func Router(site *app.Site) *echo.Echo {
	e, _ := site.Context().Value(within.Router{}).(*echo.Echo)
	return e
}

// Context returns echo's context of a request that a route of the site answers. It
// is echo's again when the view has answered: nothing that outlives the view, such
// as a goroutine, may use it. For a request that no site has routed, in a test
// of a handler, it makes one; what is written to that is lost.
func Context(r *http.Request) echo.Context {
	if c, ok := r.Context().Value(within.Context{}).(echo.Context); ok {
		return c
	}
	return newEcho(r).NewContext(r, discard{http.Header{}})
}

// newEcho returns the router of the request's site, or a new one.
func newEcho(r *http.Request) *echo.Echo {
	if e, ok := r.Context().Value(within.Router{}).(*echo.Echo); ok {
		return e
	}
	return echo.New()
}

// View makes a view of a handler of echo. It runs when the response is due, after
// everything that [app.Use] has put around the view. An error that it returns
// before it wrote anything is answered by the site with its status: that of an
// *echo.HTTPError, whose message the client gets to read when it is a text, or of
// a *views.Error. After that it breaks the response off.
func View(handler echo.HandlerFunc) views.View {
	return func(*views.Request) (views.Response, error) { return response{handler}, nil }
}

type response struct{ handler echo.HandlerFunc }

// Respond implements [views.Response].
func (h response) Respond(w http.ResponseWriter, r *views.Request) error {
	c := Context(r.Request)
	request, written := c.Request(), c.Response()
	defer func() {
		c.SetRequest(request)
		c.SetResponse(written)
	}()
	c.SetRequest(r.Request)
	if written.Writer != w && !isSame(w, written) {
		c.SetResponse(echo.NewResponse(w, c.Echo()))
	}
	return h.handler(c)
}

// isSame reports whether w is echo's own response in the dress that package app
// gives it: what it counts and calls before the first byte is kept then.
func isSame(w http.ResponseWriter, own *echo.Response) bool {
	wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
	return ok && wrapper.Unwrap() == own.Writer
}

// discard is the writer of a context that nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

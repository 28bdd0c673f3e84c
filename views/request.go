package views

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// Request is what a view is asked: an [http.Request] with what the site knows
// about it. PathValue and Pattern are http.Request's own, filled by the site.
//
// A request belongs to the goroutine that serves it; Query, Prefix and Reverse
// may be called from others while it is served, Bind may not.
type Request struct {
	*http.Request
	cycle Cycle
}

// NewRequest returns r as views see it. The life cycle that serves r passes
// itself as c; with nil the request belongs to nobody, which is enough to call a
// view and its response in a test.
func NewRequest(r *http.Request, c Cycle) *Request {
	if c == nil {
		c = alone{}
	}
	return &Request{Request: r, cycle: c}
}

// With returns a copy of the request whose context is ctx.
func (r *Request) With(ctx context.Context) *Request {
	return &Request{Request: r.WithContext(ctx), cycle: r.cycle}
}

// Query returns the first value of a parameter in the URL's query, "" when there
// is none. (Django's QueryDict returns the last.) Parameters of a malformed pair
// are absent.
func (r *Request) Query(name string) string {
	return r.URL.Query().Get(name)
}

// LastEventID returns the ID of the last server-sent event that the client has got,
// which a browser says when it connects again; "" when it comes for the first time,
// or when no event had an ID.
func (r *Request) LastEventID() string {
	return r.Header.Get("Last-Event-ID")
}

// Prefix returns the path under which the site is mounted, as it is written in a
// URL and without a trailing slash: "/shop" behind
// http.StripPrefix("/shop", site), "" when the site has the whole host. It is
// derived from what the client asked for and from what was left of it, and ends
// at the end of a path segment. Django's script prefix.
func (r *Request) Prefix() string {
	if r.RequestURI == "" {
		return ""
	}
	asked, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return ""
	}
	rest := r.URL.EscapedPath()
	prefix, found := strings.CutSuffix(asked.EscapedPath(), rest)
	if !found || rest != "" && rest[0] != '/' && !strings.HasSuffix(prefix, "/") {
		return ""
	}
	return strings.TrimRight(prefix, "/")
}

// Reverse returns the path of the named route, prefix included, with args for
// its wildcards in their order. It returns an error for an unknown name and for
// args that do not fit. Django's reverse.
func (r *Request) Reverse(name string, args ...any) (string, error) {
	return r.cycle.Reverse(name, args...)
}

package app

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/goquintet/quintet/views"
)

// appendSlash answers a path that no route takes but for the slash at its end:
// Django's APPEND_SLASH. It returns nil when that is not so.
func (q *request) appendSlash(r *http.Request) (views.Response, error) {
	s := q.site
	if s.settings.NoAppendSlash || strings.HasSuffix(r.URL.Path, "/") {
		return nil, nil
	}
	path := routerPath(r.URL) + "/"
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !safe && !s.settings.Debug || !s.router.takes(r.Method, path) {
		return nil, nil
	}
	to := views.NewRequest(r, q).Prefix() + r.URL.EscapedPath() + "/"
	if !safe {
		return nil, fmt.Errorf("app: %s %q: no route takes it, but one takes %q, and APPEND_SLASH cannot redirect a %[1]s "+
			"without losing its body; send it to %[3]q, or set APPEND_SLASH: false", r.Method, r.URL.Path, to)
	}
	if strings.HasPrefix(to, "//") { // to browsers, this would be a host
		to = "/%2F" + strings.TrimLeft(to, "/")
	}
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	return views.Redirect{Status: http.StatusMovedPermanently, To: to}, nil
}

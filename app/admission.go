package app

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/goquintet/quintet/views"
)

// admission is what every request has to pass, those of wrapped handlers
// included: before the middleware of the site, and with its error pages.
type admission struct {
	hosts       []string // lower case
	crossOrigin *http.CrossOriginProtection
	referrer    string
	frame       string
	transport   string // Strict-Transport-Security; empty for none
}

func newAdmission(s Settings) (*admission, error) {
	a := &admission{
		hosts: allowedHosts(s), crossOrigin: http.NewCrossOriginProtection(),
		referrer: s.SecureReferrerPolicy, frame: s.XFrameOptions,
	}
	if s.SecureHSTSSeconds > 0 {
		a.transport = "max-age=" + strconv.Itoa(s.SecureHSTSSeconds)
	}
	for _, origin := range s.CSRFTrustedOrigins {
		if err := a.crossOrigin.AddTrustedOrigin(origin); err != nil {
			return nil, &ConfigError{Key: "CSRF_TRUSTED_ORIGINS", Value: origin, Problem: "is no origin", Hint: "write scheme and host", cause: err}
		}
	}
	return a, nil
}

func allowedHosts(s Settings) []string {
	hosts := s.AllowedHosts
	if len(hosts) == 0 && s.Debug {
		hosts = []string{"localhost", ".localhost", "127.0.0.1", "::1"}
	}
	lower := make([]string, len(hosts))
	for i, host := range hosts {
		lower[i] = strings.ToLower(strings.Trim(host, "[]"))
	}
	return lower
}

// admit lets the request in, or says why not.
func (q *request) admit(open bool) error {
	a := q.site.admission
	q.setHeaders(a)
	switch {
	case !open:
		return &views.Error{Status: http.StatusServiceUnavailable, Err: ErrShutdown}
	case !a.allows(q.http.Host):
		return &views.Error{Status: http.StatusBadRequest, Err: fmt.Errorf(
			"app: the host %q is not in ALLOWED_HOSTS; add it if the site is to answer for it", q.http.Host)}
	}
	if err := a.crossOrigin.Check(q.http); err != nil {
		return &views.Error{Status: http.StatusForbidden, Err: fmt.Errorf(
			"app: %w: the page at %q may not send %s here; add its origin to CSRF_TRUSTED_ORIGINS if it may",
			err, q.http.Header.Get("Origin"), q.http.Method)}
	}
	return nil
}

// setHeaders sets what a handler may replace. The values live in the request.
func (q *request) setHeaders(a *admission) {
	header, n := q.writer.Header(), 0
	set := func(name, value string) {
		q.values[n] = value
		header[name] = q.values[n : n+1 : n+1]
		n++
	}
	set("X-Request-Id", q.id)
	set("X-Content-Type-Options", "nosniff")
	set("Referrer-Policy", a.referrer)
	set("X-Frame-Options", a.frame)
	set("Cross-Origin-Opener-Policy", "same-origin")
	if a.transport != "" && Scheme(q.http) == "https" {
		set("Strict-Transport-Security", a.transport)
	}
}

// allows knows what Django's validate_host knows.
func (a *admission) allows(host string) bool {
	if len(a.hosts) == 1 && a.hosts[0] == "*" {
		return true
	}
	name := hostName(host)
	if name == "" {
		return false
	}
	for _, allowed := range a.hosts {
		if allowed == "*" || allowed == name {
			return true
		}
		if domain, ok := strings.CutPrefix(allowed, "."); ok && (name == domain || strings.HasSuffix(name, allowed)) {
			return true
		}
	}
	return false
}

// hostName is a host without its port and the dot at its end, in lower case, or ""
// for what is no host.
func hostName(host string) string {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		name, port = host[:i], host[i+1:]
	}
	if strings.Trim(port, "0123456789") != "" {
		return ""
	}
	if inside, ok := strings.CutPrefix(name, "["); ok {
		if name, ok = strings.CutSuffix(inside, "]"); !ok {
			return ""
		}
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

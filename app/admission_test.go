package app_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

func host(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }

func header(pairs ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			r.Header.Add(pairs[i], pairs[i+1])
		}
	}
}

func from(address string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = address }
}

func oneRoute(view views.View) func(*app.Site) {
	return func(s *app.Site) {
		s.GET("/", view)
		s.POST("/", view)
	}
}

// As Django's HostValidationTests, tests/requests_tests/tests.py.
func TestAdmission_AllowedHosts(t *testing.T) {
	t.Parallel()
	listed := app.Settings{AllowedHosts: []string{"forward.com", "example.com", "internal.com", "12.34.56.78", "[2001:19f0:feee::dead:beef:cafe]", ".multitenant.com", "INSENSITIVE.com"}}
	for _, test := range []struct {
		settings app.Settings
		allowed  []string
		refused  []string
	}{
		{listed, []string{
			"example.com", "example.com:80", "example.com.", "EXAMPLE.com", "12.34.56.78", "12.34.56.78:443",
			"[2001:19f0:feee::dead:beef:cafe]", "[2001:19f0:feee::dead:beef:cafe]:8080",
			"insensitive.com", "insensitive.com.:8080", "multitenant.com", "a.b.multitenant.com", "multitenant.com.",
		}, []string{
			"", "evil.com", "example.com@evil.tld", "example.com:dr.frankenstein@evil.tld", "sub.example.com",
			"notmultitenant.com", "example.com.evil.tld", "example.com/x", "localhost", ":80", "[example.com",
		}},
		{app.Settings{Debug: true}, []string{"localhost", "localhost:8000", "sub.localhost", "127.0.0.1:8000", "[::1]", "[::1]:8000"}, []string{"example.com", "127.0.0.2"}},
		{app.Settings{Debug: true, AllowedHosts: []string{"example.com"}}, []string{"example.com"}, []string{"localhost"}},
		{app.Settings{}, nil, []string{"localhost", "127.0.0.1"}},
		{anyHost(), []string{"anything.example", ""}, nil},
	} {
		site := newSite(t, test.settings, app.Options{Routes: oneRoute(text("in"))})
		for _, name := range test.allowed {
			if w := get(site, "/", host(name)); w.Code != 200 {
				t.Errorf("%q is refused with %d by %v", name, w.Code, test.settings.AllowedHosts)
			}
		}
		for _, name := range test.refused {
			if w := get(site, "/", host(name)); w.Code != 400 || w.Body.String() == "in" {
				t.Errorf("%q is answered with %d by %v", name, w.Code, test.settings.AllowedHosts)
			}
		}
	}
}

func TestAdmission_ProtectsForeignHandlers(t *testing.T) {
	t.Parallel()
	site := newSite(t, app.Settings{AllowedHosts: []string{"example.com"}}, app.Options{})
	wrapped := site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "in") }))
	if w := get(wrapped, "/", host("evil.com")); w.Code != 400 {
		t.Errorf("a wrapped handler answers any host, with %d", w.Code)
	}
	w := ask(wrapped, "POST", "/", nil, header("Sec-Fetch-Site", "cross-site"))
	if w.Code != 403 {
		t.Errorf("a wrapped handler takes a cross-site POST, with %d", w.Code)
	}
	if got := get(wrapped, "/").Header().Get("X-Frame-Options"); got != "DENY" {
		t.Errorf("a wrapped handler answers with X-Frame-Options %q", got)
	}
}

func TestAdmission_CrossOrigin(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.CSRFTrustedOrigins = []string{"https://friend.example"}
	site := newSite(t, settings, app.Options{Routes: oneRoute(text("in"))})
	for _, test := range []struct {
		name, method string
		header       []string
		status       int
	}{
		{"no browser", "POST", nil, 200},
		{"same origin", "POST", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"typed in", "POST", []string{"Sec-Fetch-Site", "none"}, 200},
		{"same site", "POST", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"cross site", "POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"an old browser's own", "POST", []string{"Origin", "http://example.com"}, 200},
		{"an old browser's other", "POST", []string{"Origin", "https://evil.example"}, 403},
		{"a null origin", "POST", []string{"Origin", "null"}, 403},
		{"a friend", "POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://friend.example"}, 200},
		{"a safe method", "GET", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 200},
	} {
		if w := ask(site, test.method, "/", nil, header(test.header...)); w.Code != test.status {
			t.Errorf("%s: %d, want %d", test.name, w.Code, test.status)
		}
	}
}

func TestAdmission_SecurityHeaders(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.SecureHSTSSeconds = 60
	settings.XFrameOptions = "sameorigin"
	settings.SecureReferrerPolicy = "no-referrer"
	site := newSite(t, settings, app.Options{Routes: func(s *app.Site) {
		s.GET("/", text("in"))
		s.GET("/own", func(*views.Request) (views.Response, error) {
			return views.Text{Header: http.Header{"X-Frame-Options": {"ALLOW"}}}, nil
		})
	}})
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": "",
	} {
		if got := get(site, "/").Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := get(site, "/", func(r *http.Request) { r.TLS = &tls.ConnectionState{} }).Header().Get("Strict-Transport-Security"); got != "max-age=60" {
		t.Errorf("over TLS, Strict-Transport-Security is %q", got)
	}
	if got := get(site, "/own").Header().Values("X-Frame-Options"); len(got) != 1 || got[0] != "ALLOW" {
		t.Errorf("a view cannot replace X-Frame-Options: %q", got)
	}
	if got := get(site, "/nothing").Header().Get("X-Frame-Options"); got != "SAMEORIGIN" {
		t.Errorf("an error page has X-Frame-Options %q", got)
	}
}

func readsBody(r *views.Request) (views.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return views.JSON{Value: len(body)}, nil
}

func TestAdmission_MaxBody(t *testing.T) {
	t.Parallel()
	small, none := anyHost(), anyHost()
	small.MaxBody, none.MaxBody = 10, app.NoLimit
	for _, test := range []struct {
		settings app.Settings
		size     int
		status   int
	}{{small, 10, 200}, {small, 11, 413}, {none, 40 << 20, 200}, {anyHost(), 32 << 20, 200}, {anyHost(), 32<<20 + 1, 413}} {
		s := play(t, test.settings, app.Options{Routes: oneRoute(readsBody)})
		w := ask(s, "POST", "/", strings.NewReader(strings.Repeat("x", test.size)))
		if w.Code != test.status {
			t.Errorf("%d bytes at MAX_BODY %d: %d, want %d", test.size, test.settings.MaxBody, w.Code, test.status)
		}
		if failed := s.failed.Events(); len(failed) > 0 {
			t.Errorf("%d bytes at MAX_BODY %d is called a failure: %v", test.size, test.settings.MaxBody, failed[0].Err)
		}
	}
}

func TestAdmission_MaxBodyOnTheWire(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.MaxBody = 1000
	s := play(t, settings, app.Options{Routes: oneRoute(readsBody)}).over("HTTP/1.1")
	status, _, err := s.fetch(t, "POST", "/", strings.NewReader(strings.Repeat("x", 1<<20)))
	if status != 413 || err != nil {
		t.Errorf("got %d, %v", status, err)
	}
}

func TestAdmission_RequestID(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	notes := &journal{}
	site := newSite(t, settings, app.Options{
		Logger: slog.New(slog.NewJSONHandler(notes, nil)),
		Routes: oneRoute(func(r *views.Request) (views.Response, error) {
			app.From(r.Context()).Logger().With("a", 1).WithGroup("g").InfoContext(r.Context(), "note", "b", 2)
			return views.Text{Body: app.RequestID(r.Context())}, nil
		}),
	})
	ids := map[string]bool{}
	for _, test := range []struct {
		name    string
		change  []func(*http.Request)
		believe string
	}{
		{"nobody gives one", nil, ""},
		{"a client gives one", []func(*http.Request){header("X-Request-Id", "mine")}, ""},
		{"a trusted proxy gives one", []func(*http.Request){header("X-Request-Id", "proxy-1"), from("10.1.2.3:4")}, "proxy-1"},
		{"a trusted proxy gives rubbish", []func(*http.Request){header("X-Request-Id", "a b"), from("10.1.2.3:4")}, ""},
		{"a trusted proxy gives too much", []func(*http.Request){header("X-Request-Id", strings.Repeat("x", 129)), from("10.1.2.3:4")}, ""},
	} {
		w := get(site, "/", test.change...)
		id := w.Header().Get("X-Request-Id")
		if id == "" || id != w.Body.String() || ids[id] {
			t.Errorf("%s: the header has %q, the context %q", test.name, id, w.Body)
		}
		if test.believe != "" && id != test.believe || test.believe == "" && strings.ContainsAny(id, " -") || id == "mine" {
			t.Errorf("%s: the id is %q", test.name, id)
		}
		ids[id] = true
	}
	if app.RequestID(t.Context()) != "" {
		t.Error("there is an id outside of a request")
	}
	for i, entry := range notes.entries(t, "request") {
		if id, _ := entry["request_id"].(string); !ids[id] {
			t.Errorf("line %d has the request_id %v", i, entry["request_id"])
		}
	}
	if !strings.Contains(notes.String(), `"a":1,"g":{"b":2,"request_id":"`) {
		t.Errorf("a view's own record has no id: %s", notes)
	}
}

func TestProxies(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	site := newSite(t, settings, app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
		return views.Text{Body: app.ClientIP(r.Request).String() + " " + app.Scheme(r.Request) + " " + r.Host}, nil
	})})
	for _, test := range []struct {
		name   string
		change []func(*http.Request)
		want   string
	}{
		{"no proxy", []func(*http.Request){from("192.0.2.1:1")}, "192.0.2.1 http example.com"},
		{"TLS", []func(*http.Request){from("192.0.2.1:1"), func(r *http.Request) { r.TLS = &tls.ConnectionState{} }}, "192.0.2.1 https example.com"},
		{"a stranger who says so", []func(*http.Request){from("192.0.2.1:1"),
			header("X-Forwarded-For", "1.1.1.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.com")}, "192.0.2.1 http example.com"},
		{"a trusted proxy", []func(*http.Request){from("10.0.0.1:1"),
			header("X-Forwarded-For", "1.1.1.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "front.example")}, "1.1.1.1 https front.example"},
		{"two trusted proxies", []func(*http.Request){from("10.0.0.1:1"), header("X-Forwarded-For", "1.1.1.1, 10.0.0.2")}, "1.1.1.1 http example.com"},
		{"two headers", []func(*http.Request){from("10.0.0.1:1"), header("X-Forwarded-For", "1.1.1.1", "X-Forwarded-For", "10.0.0.2")}, "1.1.1.1 http example.com"},
		{"what the client has put before it", []func(*http.Request){from("10.0.0.1:1"), header("X-Forwarded-For", "9.9.9.9, 1.1.1.1")}, "1.1.1.1 http example.com"},
		{"rubbish", []func(*http.Request){from("10.0.0.1:1"), header("X-Forwarded-For", "1.1.1.1, rubbish, 10.0.0.2")}, "10.0.0.2 http example.com"},
		{"nothing but proxies", []func(*http.Request){from("10.0.0.1:1"), header("X-Forwarded-For", "10.0.0.3")}, "10.0.0.3 http example.com"},
		{"IPv6", []func(*http.Request){from("[fd00::1]:1"), header("X-Forwarded-For", "[2001:db8::1]:443")}, "2001:db8::1 http example.com"},
		{"a mapped address", []func(*http.Request){from("[::ffff:10.0.0.1]:1"), header("X-Forwarded-For", "1.1.1.1:99")}, "1.1.1.1 http example.com"},
		{"the nearest proxy's protocol", []func(*http.Request){from("10.0.0.1:1"), header("X-Forwarded-Proto", "https, http")}, "10.0.0.1 http example.com"},
		{"nowhere", []func(*http.Request){from("@")}, "invalid IP http example.com"},
		{"a unix socket that is not trusted", []func(*http.Request){overUnix,
			header("X-Forwarded-For", "1.1.1.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "front.example")}, "invalid IP http example.com"},
	} {
		if got := get(site, "/", test.change...).Body.String(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// overUnix is what net/http makes of a request that came over a unix socket.
func overUnix(r *http.Request) {
	r.RemoteAddr = "@"
	*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/run/site.sock", Net: "unix"}))
}

// A peer on a unix socket has no address; TRUSTED_PROXIES names it by a word, which
// is neither a network nor an address that a client could claim.
func TestProxies_OverAUnixSocket(t *testing.T) {
	t.Parallel()
	settings := mustLoad(t, "ALLOWED_HOSTS: ['*']\nTRUSTED_PROXIES: [unix]\n")
	equal(t, "the word", settings.TrustedProxies, []netip.Prefix{app.UnixPeers()})
	site := newSite(t, settings, app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
		return views.Text{Body: app.ClientIP(r.Request).String() + " " + app.Scheme(r.Request) + " " + r.Host}, nil
	})})
	forwarded := header("X-Forwarded-For", "9.9.9.9, 1.1.1.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "front.example")
	for _, test := range []struct {
		name   string
		change []func(*http.Request)
		want   string
	}{
		{"the proxy", []func(*http.Request){overUnix, forwarded}, "1.1.1.1 https front.example"},
		{"an address", []func(*http.Request){from("127.0.0.1:1"), forwarded}, "127.0.0.1 http example.com"},
		{"the address that stands for the word", []func(*http.Request){from("[::]:1"), forwarded}, ":: http example.com"},
		{"no address, and no unix socket", []func(*http.Request){from("@"), forwarded}, "invalid IP http example.com"},
	} {
		if got := get(site, "/", test.change...).Body.String(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestTheLogNamesClientsWithoutAnAddress(t *testing.T) {
	t.Parallel()
	journal := &journal{}
	site := newSite(t, anyHost(), app.Options{Logger: slog.New(slog.NewJSONHandler(journal, nil)), Routes: oneRoute(text("in"))})
	get(site, "/", overUnix)
	get(site, "/", from("@"))
	var clients []any
	for _, entry := range journal.entries(t, "request") {
		clients = append(clients, entry["client"])
	}
	equal(t, "clients", clients, []any{"unix", ""})
}

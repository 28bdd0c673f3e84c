package app_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

func TestSettings_ZeroMeansTheDefaults(t *testing.T) {
	t.Parallel()
	s := app.Settings{}.WithDefaults()
	equal(t, "LISTEN", s.Listen, "127.0.0.1:8000")
	equal(t, "STATIC_URL", s.StaticURL, "/static/")
	equal(t, "MAX_BODY", s.MaxBody, 32<<20)
	equal(t, "READ_HEADER_TIMEOUT", s.ReadHeaderTimeout, 10*time.Second)
	equal(t, "IDLE_TIMEOUT", s.IdleTimeout, 120*time.Second)
	equal(t, "STREAM_WRITE_TIMEOUT", s.StreamWriteTimeout, 30*time.Second)
	equal(t, "STREAM_HEARTBEAT", s.StreamHeartbeat, 15*time.Second)
	equal(t, "STREAM_MAX_AGE", s.StreamMaxAge, 0)
	equal(t, "SHUTDOWN_TIMEOUT", s.ShutdownTimeout, 10*time.Second)
	equal(t, "CLEANUP_TIMEOUT", s.CleanupTimeout, 5*time.Second)
	equal(t, "LOG_LEVEL", s.LogLevel.String(), "INFO")
	equal(t, "SECURE_REFERRER_POLICY", s.SecureReferrerPolicy, "same-origin")
	equal(t, "X_FRAME_OPTIONS", s.XFrameOptions, "DENY")
	equal(t, "APPEND_SLASH turned round", s.NoAppendSlash, false)
	equal(t, "DEBUG", s.Debug, false)

	s = app.Settings{MaxBody: app.NoLimit, Databases: map[string]db.Settings{"default": {Engine: "PostgreSQL"}}}.WithDefaults()
	equal(t, "no limit", s.MaxBody, app.NoLimit)
	equal(t, "an alias", s.Databases["default"], db.Settings{Engine: "postgres"}.WithDefaults())
	equal(t, "the same again", fmt.Sprint(s.WithDefaults()), fmt.Sprint(s))
	if err := s.Validate(); err != nil {
		t.Errorf("defaults are mistakes: %v", err)
	}
	if err := (app.Settings{}).Validate(); err != nil {
		t.Errorf("zero values are mistakes: %v", err)
	}
}

func TestSettings_ValidateWhatIsBuiltInGo(t *testing.T) {
	t.Parallel()
	s := app.Settings{
		Listen: "x", MaxBody: -2, IdleTimeout: -time.Second, TrustedProxies: []netip.Prefix{{}, app.UnixPeers()},
		Databases: map[string]db.Settings{"Replica": {Engine: "sqlite"}, "two": {}},
	}
	err := s.Validate()
	matches(t, err.Error(), `app: DATABASES.default: is missing; add it, or rename one of Replica, two
app: DATABASES.Replica: is no alias; use lower-case letters, digits, - and single _ between them
app: DATABASES.two.ENGINE: is missing; say sqlite or postgres
app: IDLE_TIMEOUT: "-1s": is negative; leave it out for the default
app: MAX_BODY: "-2": is negative; use app.NoLimit for no limit
app: LISTEN: "x": is no address; write host:port, such as 127.0.0.1:8000
app: TRUSTED_PROXIES: "invalid Prefix": is no network; write an address, a network such as 10.0.0.0/8, or "unix" for unix sockets`)
	configErrors(t, err)
	equal(t, "the origin of what is built in Go", s.Origin("LISTEN"), "default")
}

func TestSettings_ValidateAddresses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		good, bad []string
		settings  func(string) app.Settings
	}{
		"LISTEN": {
			good:     []string{":8000", "127.0.0.1:0", "localhost:80", "[::1]:8000", "example.com:65535"},
			bad:      []string{"8000", "localhost", "::1:8000", ":65536", ":http", ":-1", "http://x:80"},
			settings: func(s string) app.Settings { return app.Settings{Listen: s} },
		},
		"ALLOWED_HOSTS": {
			good:     []string{"*", "example.com", ".example.com", "localhost", "127.0.0.1", "[::1]", "::1"},
			bad:      []string{"", ".", "https://example.com", "example.com:80", "example.com/", "*.example.com", "a b", "[example.com]x"},
			settings: func(s string) app.Settings { return app.Settings{AllowedHosts: []string{s}} },
		},
		"CSRF_TRUSTED_ORIGINS": {
			good:     []string{"https://example.com", "http://localhost:3000"},
			bad:      []string{"", "example.com", "https://example.com/", "https://*.example.com", "ftp://example.com", "https://", "https://u@example.com"},
			settings: func(s string) app.Settings { return app.Settings{CSRFTrustedOrigins: []string{s}} },
		},
		"STATIC_URL": {
			good:     []string{"/static/", "/a/b/", "https://cdn.example.com/", "https://cdn.example.com/x/"},
			bad:      []string{"/", "static/", "/static", "https://cdn.example.com", "ftp://x/", "/static/?/", "https:///x/", "//cdn.example.com/"},
			settings: func(s string) app.Settings { return app.Settings{StaticURL: s} },
		},
		"ADMIN_SOCKETS": {
			good:     []string{"", "none", "/run/blog", "run"},
			bad:      []string{"/run/\x00"},
			settings: func(s string) app.Settings { return app.Settings{AdminSockets: s} },
		},
	} {
		for _, value := range test.good {
			if err := test.settings(value).Validate(); err != nil {
				t.Errorf("%s: %q is refused: %v", name, value, err)
			}
		}
		for _, value := range test.bad {
			err := test.settings(value).Validate()
			if err == nil {
				t.Errorf("%s: %q is accepted", name, value)
				continue
			}
			if mistake := configErrors(t, err)[0]; mistake.Key != name {
				t.Errorf("%q is said of %s, not of %s", value, mistake.Key, name)
			}
		}
	}
}

// New gives what package db and the engines find the place where it is written.
func TestSettings_LocateTheErrorsOfOthers(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, "DATABASES:\n  default:\n    ENGINE: oracle\n    NAME: x\n", "QUINTET_DATABASES__REPLICA__ENGINE=sqlite")
	unknown := &db.SettingsError{Alias: "default", Key: "ENGINE", Problem: `"oracle" is not built into this site`, Hint: "have sqlite"}
	lacking := &db.SettingsError{Alias: "default", Key: "HOST", Problem: "is missing", Hint: "write it"}
	elsewhere := &db.SettingsError{Alias: "replica", Key: "NAME", Problem: "is missing"}
	nowhere := &db.SettingsError{Problem: "is odd"}
	other := errors.New("another error")
	wrapped := fmt.Errorf("open: %w", unknown)
	several := fmt.Errorf("both %w and %w", other, unknown)

	err := s.Locate(errors.Join(unknown, errors.Join(lacking, elsewhere), nowhere, other, wrapped, several))
	matches(t, err.Error(), `settings.yaml:3: DATABASES.default.ENGINE: "oracle" is not built into this site; have sqlite
settings.yaml:2: DATABASES.default.HOST: is missing; write it
environment QUINTET_DATABASES__REPLICA__ENGINE: DATABASES.replica.NAME: is missing
settings.yaml:1: DATABASES: is odd
another error
settings.yaml:3: DATABASES.default.ENGINE: "oracle" is not built into this site; have sqlite
settings.yaml:3: DATABASES.default.ENGINE: "oracle" is not built into this site; have sqlite`)
	for _, want := range []error{unknown, lacking, elsewhere, nowhere, other, wrapped, several} {
		if !errors.Is(err, want) {
			t.Errorf("%v is lost", want)
		}
	}
	if s.Locate(nil) != nil {
		t.Error("nil is an error")
	}
	located := &app.ConfigError{File: "x", Problem: "is y"}
	if !errors.Is(s.Locate(located), located) {
		t.Error("what has its place got another one")
	}
	if got := (app.Settings{}).Locate(unknown).Error(); !strings.HasPrefix(got, "app: DATABASES.default.ENGINE: ") {
		t.Errorf("without a file it reads %s", got)
	}
}

func TestConfigError_QuotesItsValueOnce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		problem, value, want string
	}{
		{`"maybe" is unknown`, "maybe", `settings.yaml:4: DATABASES.default.CONN_LEASE: "maybe" is unknown`},
		{"is unknown", "maybe", `settings.yaml:4: DATABASES.default.CONN_LEASE: "maybe": is unknown`},
		{"is a mess", "me", `settings.yaml:4: DATABASES.default.CONN_LEASE: "me": is a mess`},
	} {
		s := mustLoad(t, "DATABASES:\n  default:\n    ENGINE: x\n    OPTIONS: {}\n    NAME: "+test.value+"\n")
		got := s.Locate(&db.SettingsError{Alias: "default", Key: "NAME", Problem: test.problem}).Error()
		equal(t, "the error", got, strings.Replace(strings.Replace(test.want, ":4:", ":5:", 1), "CONN_LEASE", "NAME", 1))
	}
}

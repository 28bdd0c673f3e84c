package app

import (
	"cmp"
	"log/slog"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/goquintet/quintet/db"
)

// Secret is a string that cannot print itself; see [db.Secret].
type Secret = db.Secret

// NoLimit is the MaxBody of a site that reads whatever it is sent, and the
// StreamHeartbeat of one that sends none.
const NoLimit = -1

// NoAdmin is the AdminSockets of a site whose processes cannot be asked.
const NoAdmin = "none"

// Settings are what a site is told from outside: Django's settings module, as a
// value. [Load] reads them from settings.yaml and the environment; built in Go
// they work as well, because the zero value of a field means its default. They
// are read once: changing them after [New] changes nothing, and a Settings may
// be read by any number of goroutines.
//
// The key of a field in settings.yaml is its name in upper case with
// underscores: SecretKey is SECRET_KEY. Keys that Django has mean what they mean
// there. Neither the verbs of fmt, nor encoding/json, nor log/slog print a secret
// of it. Only fmt cannot see the methods of an unexported field: a type that keeps
// a Settings in one has to have its own Format or String.
type Settings struct {
	// Debug (DEBUG) shows errors to the client with the code that led to them, parses
	// templates at each request, serves static files, remembers queries, and shows the
	// live page. Never in production.
	Debug bool
	// SecretKey (SECRET_KEY) is what a site signs with.
	SecretKey Secret

	// AllowedHosts (ALLOWED_HOSTS) are the hosts that the site answers for:
	// "example.com", ".example.com" with all below it, "*" for any. Empty is none,
	// or with Debug localhost, .localhost, 127.0.0.1 and ::1.
	AllowedHosts []string
	// TrustedProxies (TRUSTED_PROXIES) are the networks whose X-Forwarded headers
	// are believed: "10.0.0.0/8", one address, or "unix" ([UnixPeers]) for whoever
	// reaches a unix socket. Empty is none.
	TrustedProxies []netip.Prefix
	// Listen (LISTEN) is the address to serve at, "127.0.0.1:8000" by default.
	Listen string

	// Databases (DATABASES) are the settings of each alias. Empty is a site
	// without a database; otherwise "default" is among them. Aliases are lower
	// case.
	Databases map[string]db.Settings

	// NoAppendSlash is APPEND_SLASH turned round, because Django's default is
	// true: a path that no route takes is redirected to the same with a slash at
	// its end, if a route takes that. APPEND_SLASH: false says no.
	NoAppendSlash bool `settings:"APPEND_SLASH"`
	// StaticURL (STATIC_URL) is where static files are found, "/static/" by
	// default: a path, or the address of another server. It ends with a slash.
	StaticURL string

	// MaxBody (MAX_BODY) is how many bytes the body of a request may have: a
	// number, or "10MB", "32MiB". 0 is 32 MiB; null in the file, [NoLimit] here,
	// is any number. Django's DATA_UPLOAD_MAX_MEMORY_SIZE, but for all bodies.
	MaxBody int64
	// ReadHeaderTimeout (READ_HEADER_TIMEOUT) is how long a client may take for
	// its headers. 0 is 10s.
	ReadHeaderTimeout time.Duration
	// IdleTimeout (IDLE_TIMEOUT) is how long a client's connection is kept
	// between two requests. 0 is 120s.
	IdleTimeout time.Duration
	// StreamWriteTimeout (STREAM_WRITE_TIMEOUT) is how long a client may take for
	// one chunk of a stream. The stream itself may last. 0 is 30s.
	StreamWriteTimeout time.Duration
	// StreamHeartbeat (STREAM_HEARTBEAT) is for how long a stream that has a
	// heartbeat, as server-sent events do, may be silent before it sends one. 0 is
	// 15s; null in the file, [NoLimit] here, is for ever.
	StreamHeartbeat time.Duration
	// StreamMaxAge (STREAM_MAX_AGE) is how long a stream may last before it is told
	// to end: the context of its request ends with [views.ErrMaxAge]. 0 is for
	// ever.
	StreamMaxAge time.Duration
	// MaxStreams (MAX_STREAMS) is how many streams may run at once; one more is
	// answered with 503. 0 is no limit.
	MaxStreams int

	// Processes (PROCESSES) is how many processes serve the site beside each other.
	// It starts none: checks multiply MAX_CONNECTIONS by it. 0 is 1.
	Processes int
	// SilencedSystemChecks (SILENCED_SYSTEM_CHECKS) are the IDs of problems that are
	// known and accepted: [Site.Check] marks them, and they are not shown.
	SilencedSystemChecks []string

	// ShutdownTimeout (SHUTDOWN_TIMEOUT) is how long requests and streams may
	// take to finish when the site stops. 0 is 10s.
	ShutdownTimeout time.Duration
	// CleanupTimeout (CLEANUP_TIMEOUT) is how long the receivers of the life
	// cycle's signals may take, whether the client is still there or not. 0 is 5s.
	CleanupTimeout time.Duration
	// AdminSockets (ADMIN_SOCKETS) is the folder in which each process that serves
	// the site has a unix socket, to be asked there by its own user: see
	// [Site.Admin]. It is for this site alone, and only its user may look into it
	// (0700). [NoAdmin], "none", makes no sockets. Empty is a folder of the site's
	// own in $XDG_RUNTIME_DIR or the temporary folder.
	AdminSockets string

	// LogLevel (LOG_LEVEL) is the least level that is logged: debug, info, warn
	// or error. The zero value is info.
	LogLevel slog.Level

	// CSRFTrustedOrigins (CSRF_TRUSTED_ORIGINS) are the other origins that may
	// send unsafe requests: "https://shop.example.com". Empty is none.
	CSRFTrustedOrigins []string
	// SecureHSTSSeconds (SECURE_HSTS_SECONDS) is the age that
	// Strict-Transport-Security gets on answers over TLS. 0 sends none.
	SecureHSTSSeconds int
	// SecureReferrerPolicy (SECURE_REFERRER_POLICY) is the Referrer-Policy of
	// answers that have none, "same-origin" by default.
	SecureReferrerPolicy string
	// XFrameOptions (X_FRAME_OPTIONS) is the X-Frame-Options of answers that have
	// none: DENY by default, or SAMEORIGIN.
	XFrameOptions string

	origins map[string]origin // by lower-case key; nil when built in Go, never changed
	files   []string          // absolute; nil when built in Go, never changed
}

const (
	defaultListen             = "127.0.0.1:8000"
	defaultStaticURL          = "/static/"
	defaultMaxBody            = 32 << 20
	defaultReadHeaderTimeout  = 10 * time.Second
	defaultIdleTimeout        = 120 * time.Second
	defaultStreamWriteTimeout = 30 * time.Second
	defaultStreamHeartbeat    = 15 * time.Second
	defaultProcesses          = 1
	defaultShutdownTimeout    = 10 * time.Second
	defaultCleanupTimeout     = 5 * time.Second
	defaultReferrerPolicy     = "same-origin"
	defaultXFrameOptions      = "DENY"
)

// origin is where the value of a key comes from, and what of it may be shown.
type origin struct {
	place
	shown string
}

// WithDefaults returns a copy in which every zero value is replaced by what it
// means, in each alias of Databases too. [Load] returns such a copy, and [New]
// makes one.
func (s Settings) WithDefaults() Settings {
	s.Listen = cmp.Or(s.Listen, defaultListen)
	s.StaticURL = cmp.Or(s.StaticURL, defaultStaticURL)
	s.MaxBody = cmp.Or(s.MaxBody, defaultMaxBody)
	s.ReadHeaderTimeout = cmp.Or(s.ReadHeaderTimeout, defaultReadHeaderTimeout)
	s.IdleTimeout = cmp.Or(s.IdleTimeout, defaultIdleTimeout)
	s.StreamWriteTimeout = cmp.Or(s.StreamWriteTimeout, defaultStreamWriteTimeout)
	s.StreamHeartbeat = cmp.Or(s.StreamHeartbeat, defaultStreamHeartbeat)
	s.Processes = cmp.Or(s.Processes, defaultProcesses)
	s.ShutdownTimeout = cmp.Or(s.ShutdownTimeout, defaultShutdownTimeout)
	s.CleanupTimeout = cmp.Or(s.CleanupTimeout, defaultCleanupTimeout)
	s.SecureReferrerPolicy = cmp.Or(s.SecureReferrerPolicy, defaultReferrerPolicy)
	s.XFrameOptions = strings.ToUpper(cmp.Or(s.XFrameOptions, defaultXFrameOptions))
	s.Databases = maps.Clone(s.Databases)
	for alias, database := range s.Databases {
		s.Databases[alias] = database.WithDefaults()
	}
	return s
}

// Origin tells where the value of a key comes from, as [Load] found it:
// "settings.yaml:12", "environment QUINTET_DEBUG", or "default" for what nobody
// set. Keys are written as in errors, "DATABASES.default.CONN_MAX_AGE"; case does
// not count.
func (s Settings) Origin(key string) string {
	return s.origins[strings.ToLower(key)].String()
}

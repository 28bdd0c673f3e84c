package app

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goquintet/quintet/db"
)

// Validate reports every mistake that can be seen without opening anything, as
// joined *[ConfigError] values; what [db.Settings.Validate] finds in an alias is
// among them. Zero values are no mistakes. [Load] and [New] call it.
func (s Settings) Validate() error {
	var errs []error
	bad := func(key, value, problem, hint string) {
		errs = append(errs, &ConfigError{Key: key, Value: db.Redact(key, value), Problem: problem, Hint: hint})
	}
	s.validateDatabases(bad, func(err error) { errs = append(errs, err) })
	s.validateNumbers(bad)
	s.validateAddresses(bad)
	s.validateHeaders(bad)
	return s.locate(errors.Join(errs...))
}

type complaint = func(key, value, problem, hint string)

func (s Settings) validateDatabases(bad complaint, add func(error)) {
	aliases := slices.Sorted(maps.Keys(s.Databases))
	if len(aliases) > 0 && !slices.Contains(aliases, db.DefaultAlias) {
		bad(defaultDatabase, "", "is missing", "add it, or rename one of "+strings.Join(aliases, ", "))
	}
	for _, alias := range aliases {
		if mistake := validAlias(alias); mistake != nil {
			add(mistake)
			continue
		}
		if err := s.Databases[alias].Validate(alias); err != nil {
			add(err)
		}
	}
}

func (s Settings) validateNumbers(bad complaint) {
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"READ_HEADER_TIMEOUT", s.ReadHeaderTimeout},
		{"IDLE_TIMEOUT", s.IdleTimeout},
		{"STREAM_WRITE_TIMEOUT", s.StreamWriteTimeout},
		{"STREAM_MAX_AGE", s.StreamMaxAge},
		{"SHUTDOWN_TIMEOUT", s.ShutdownTimeout},
		{"CLEANUP_TIMEOUT", s.CleanupTimeout},
	} {
		if d.value < 0 {
			bad(d.key, d.value.String(), "is negative", "leave it out for the default")
		}
	}
	for _, n := range []struct {
		key   string
		value int
	}{{"MAX_STREAMS", s.MaxStreams}, {"SECURE_HSTS_SECONDS", s.SecureHSTSSeconds}} {
		if n.value < 0 {
			bad(n.key, strconv.Itoa(n.value), "is negative", "use 0 for none")
		}
	}
	if s.Processes < 0 {
		bad("PROCESSES", strconv.Itoa(s.Processes), "is negative", "leave it out for one")
	}
	if s.StreamHeartbeat < NoLimit {
		bad("STREAM_HEARTBEAT", s.StreamHeartbeat.String(), "is negative", "use app.NoLimit to send none")
	}
	if s.MaxBody < NoLimit {
		bad("MAX_BODY", strconv.FormatInt(s.MaxBody, 10), "is negative", "use app.NoLimit for no limit")
	}
}

func (s Settings) validateAddresses(bad complaint) {
	if s.Listen != "" && !isListenAddress(s.Listen) {
		bad("LISTEN", s.Listen, "is no address", "write host:port, such as "+defaultListen)
	}
	for _, host := range s.AllowedHosts {
		if !isHostPattern(host) {
			bad("ALLOWED_HOSTS", host, "is no host", "write a name without scheme and port, such as example.com, .example.com, or *")
		}
	}
	for _, network := range s.TrustedProxies { // of settings made in Go; Load knows no other
		if !network.IsValid() && network != UnixPeers() {
			bad("TRUSTED_PROXIES", network.String(), "is no network", proxyHint)
		}
	}
	for _, origin := range s.CSRFTrustedOrigins {
		if !isOrigin(origin) {
			bad("CSRF_TRUSTED_ORIGINS", origin, "is no origin", "write scheme and host, such as https://shop.example.com")
		}
	}
	if strings.ContainsRune(s.AdminSockets, 0) {
		bad("ADMIN_SOCKETS", s.AdminSockets, "has a NUL byte", "remove it")
	}
	if s.StaticURL != "" && !isStaticURL(s.StaticURL) {
		bad("STATIC_URL", s.StaticURL, "is no place for static files", "begin and end it with a slash, such as "+defaultStaticURL+", or write https://static.example.com/")
	}
}

func isListenAddress(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// isHostPattern knows what Django's validate_host knows, IPv6 in brackets or
// without.
func isHostPattern(host string) bool {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	if net.ParseIP(host) != nil || host == "*" {
		return true
	}
	host = strings.TrimPrefix(host, ".")
	return host != "" && !strings.ContainsAny(host, ":/*@?# \t\r\n[]")
}

// isOrigin wants what browsers send as Origin. Patterns would never match: the
// standard library's cross-origin protection compares whole origins.
func isOrigin(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && !strings.Contains(u.Host, "*") &&
		origin == u.Scheme+"://"+u.Host
}

func isStaticURL(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.RawQuery != "" || u.Fragment != "" || !strings.HasSuffix(address, "/") {
		return false
	}
	if u.Scheme == "" && u.Host == "" {
		return strings.HasPrefix(address, "/") && len(address) > 1
	}
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func (s Settings) validateHeaders(bad complaint) {
	if o := strings.ToUpper(s.XFrameOptions); o != "" && o != "DENY" && o != "SAMEORIGIN" {
		bad("X_FRAME_OPTIONS", s.XFrameOptions, "is unknown", "say DENY or SAMEORIGIN")
	}
	if s.SecureReferrerPolicy == "" {
		return
	}
	for policy := range strings.SplitSeq(s.SecureReferrerPolicy, ",") {
		if !slices.Contains(referrerPolicies(), strings.TrimSpace(policy)) {
			bad("SECURE_REFERRER_POLICY", s.SecureReferrerPolicy, fmt.Sprintf("has the unknown policy %q", strings.TrimSpace(policy)),
				"say one of "+strings.Join(referrerPolicies(), ", "))
		}
	}
}

// referrerPolicies are those of the Referrer Policy recommendation, section 3.
func referrerPolicies() []string {
	return []string{
		"no-referrer", "no-referrer-when-downgrade", "origin", "origin-when-cross-origin",
		"same-origin", "strict-origin", "strict-origin-when-cross-origin", "unsafe-url",
	}
}

// locate gives every mistake in err the place of its key: each *db.SettingsError
// among the joined errors becomes a *ConfigError that wraps it. Other errors stay
// as they are.
func (s Settings) locate(err error) error {
	parts := unjoin(err)
	for i := range parts {
		parts[i] = s.locateOne(parts[i])
	}
	return errors.Join(parts...)
}

func (s Settings) locateOne(err error) error {
	var own *ConfigError
	if errors.As(err, &own) {
		if own.File != "" {
			return err
		}
		located, at := *own, s.nearestOrigin(own.Key)
		located.File, located.Line = at.file, at.line
		return &located
	}
	var mistake *db.SettingsError
	if !errors.As(err, &mistake) {
		return err
	}
	key := "DATABASES"
	for _, name := range []string{mistake.Alias, mistake.Key} {
		if name != "" {
			key += "." + name
		}
	}
	at, value := s.nearestOrigin(key), s.origins[strings.ToLower(key)].shown
	return &ConfigError{
		File: at.file, Line: at.line, Key: key, Value: value,
		Problem: mistake.Problem, Hint: mistake.Hint, told: mentions(mistake.Problem, value), cause: err,
	}
}

// unjoin returns what errors.Join has joined, nested or not. An error that says
// something of its own about several stays whole.
func unjoin(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok || err.Error() != errors.Join(joined.Unwrap()...).Error():
		return []error{err}
	}
	var parts []error
	for _, err := range joined.Unwrap() {
		parts = append(parts, unjoin(err)...)
	}
	return parts
}

// nearestOrigin is where the key is written, or the section that lacks it.
func (s Settings) nearestOrigin(key string) origin {
	for key = strings.ToLower(key); key != ""; key, _ = cutLast(key) {
		if o, ok := s.origins[key]; ok {
			return o
		}
	}
	return origin{}
}

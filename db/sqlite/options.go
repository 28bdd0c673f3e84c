package sqlite

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/goquintet/quintet/db"
)

const (
	memory      = ":memory:"
	busyTimeout = 5 * time.Second
	maxTimeout  = 24 * time.Hour
)

// pragma is one that OPTIONS may set, with its default; "" leaves SQLite's own.
type pragma struct {
	name, byDefault string
	values          []string // empty: a whole number
}

func pragmas() []pragma {
	onOff := []string{"on", "off", "true", "false", "yes", "no", "1", "0"}
	return []pragma{
		{"auto_vacuum", "", []string{"none", "full", "incremental"}}, // before anything is written
		{"journal_mode", "wal", []string{"wal", "delete", "truncate", "persist", "memory", "off"}},
		{"synchronous", "normal", []string{"off", "normal", "full", "extra"}},
		{"foreign_keys", "on", onOff},
		{"cache_size", "", nil},
		{"mmap_size", "", nil},
		{"temp_store", "", []string{"default", "file", "memory"}},
		{"query_only", "", onOff}, // after everything that writes
	}
}

// configure turns settings into a connector.
func configure(alias string, s db.Settings) (*sessions, error) {
	var errs []error
	bad := func(key, hint, problem string, args ...any) {
		errs = append(errs, &db.SettingsError{Alias: alias, Key: key, Problem: fmt.Sprintf(problem, args...), Hint: hint})
	}
	d := &sessions{path: memory, initCommand: s.Options["init_command"]}
	d.single = s.Name == memory
	switch {
	case s.Name == "":
		bad("NAME", "name a file, or "+memory, "is missing")
	case strings.ContainsRune(s.Name, 0):
		bad("NAME", "remove it", "has a NUL byte")
	case strings.HasPrefix(s.Name, "file:"):
		bad("NAME", "name the file, and put the rest into OPTIONS", "%q is a URI", s.Name)
	case !d.single:
		path, err := filepath.Abs(s.Name)
		if err != nil {
			bad("NAME", "give the whole path", "%q: %v", s.Name, err)
		}
		d.path = path
	}
	for _, f := range []struct {
		key string
		set bool
	}{{"HOST", s.Host != ""}, {"PORT", s.Port != 0}, {"USER", s.User != ""}, {"PASSWORD", s.Password != ""}} {
		if f.set {
			bad(f.key, "remove it, or choose another ENGINE", "means nothing to SQLite, which has no server")
		}
	}

	query := url.Values{"_time_format": {"sqlite"}, "_timezone": {"UTC"}, "_dqs": {"0"}, "_error_rc": {"1"}}
	for _, key := range slices.Sorted(maps.Keys(s.Options)) {
		if !slices.Contains(optionNames(), key) {
			bad("OPTIONS."+key, "say one of "+strings.Join(optionNames(), ", "), "is unknown")
		}
	}
	timeout, err := parseTimeout(s.Options["timeout"])
	if err != nil {
		bad("OPTIONS.timeout", "give seconds, or a duration such as 500ms", "%v", err)
	}
	query.Set("_busy_timeout", strconv.FormatInt(timeout.Milliseconds(), 10))

	choose := func(key, byDefault string, values []string) string {
		value := strings.ToLower(s.Options[key])
		if value == "" {
			return byDefault
		}
		if !slices.Contains(values, value) {
			bad("OPTIONS."+key, "say "+strings.Join(values, ", "), "%q is unknown", s.Options[key])
		}
		return value
	}
	d.lock = choose("transaction_mode", "immediate", []string{"deferred", "immediate", "exclusive"})
	query.Set("_txlock", d.lock)
	mode := choose("mode", "rwc", []string{"ro", "rw", "rwc"})
	if !d.single {
		query.Set("mode", mode)
	}
	d.create = mode == "rwc" && !d.single
	for _, p := range pragmas() {
		byDefault := p.byDefault
		if p.name == "journal_mode" && (d.single || mode == "ro") {
			byDefault = "" // memory has none of its own; a read-only file keeps its own
		}
		value := s.Options[p.name]
		if p.values != nil {
			value = choose(p.name, byDefault, p.values)
		} else if _, err := strconv.ParseInt(value, 10, 64); value != "" && err != nil {
			bad("OPTIONS."+p.name, "give a whole number", "%q is none", value)
		}
		if value != "" {
			d.pragmas = append(d.pragmas, "PRAGMA "+p.name+" = "+value)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	d.connector, err = sqlite.NewConnector(dsn(d.path, query))
	if err != nil {
		bad("NAME", "", "%v", err)
		return nil, errors.Join(errs...)
	}
	return d, nil
}

func optionNames() []string {
	names := []string{"init_command", "mode", "timeout", "transaction_mode"}
	for _, p := range pragmas() {
		names = append(names, p.name)
	}
	slices.Sort(names)
	return names
}

// dsn is a file name in SQLite's URI form. As a plain name the mode would be
// dropped without a word.
func dsn(path string, query url.Values) string {
	if path == memory {
		return "file:" + memory + "?" + query.Encode()
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter
	}
	return "file://" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}

func parseTimeout(text string) (time.Duration, error) {
	if text == "" {
		return busyTimeout, nil
	}
	d, err := time.ParseDuration(text)
	if seconds, notNumber := strconv.ParseFloat(text, 64); notNumber == nil && !math.IsNaN(seconds) {
		d, err = time.Duration(min(seconds, maxTimeout.Seconds()+1)*float64(time.Second)), nil
	}
	if err != nil || d < 0 || d > maxTimeout {
		return 0, fmt.Errorf("%q is no time between 0 and %s", text, maxTimeout)
	}
	return d, nil
}

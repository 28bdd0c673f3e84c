package app

import (
	"fmt"
	"iter"
	"log/slog"
	"math"
	"net/netip"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"

	"github.com/goquintet/quintet/db"
)

// decode lets mapstructure fill the fields from the merged leaves, and keeps
// where each came from.
func (f *findings) decode(t tree) Settings {
	var settings Settings
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: &settings, TagName: "settings", MapFieldName: upperSnake,
		DecodeHook: func(from, to reflect.Value) (any, error) {
			l, ok := from.Interface().(*leaf)
			if !ok {
				return from.Interface(), nil
			}
			value, mistake := l.decode(to.Type())
			if mistake != nil {
				f.complain(mistake) // and go on: one mistake must not take its alias away
				return reflect.Zero(to.Type()).Interface(), nil
			}
			return value, nil
		},
	})
	if err == nil {
		err = decoder.Decode(t)
	}
	if err != nil {
		f.complain(&ConfigError{Problem: err.Error(), cause: err})
	}
	f.keepAliases(&settings)
	resolveNames(&settings, t)
	settings.origins = f.origins(t)
	return settings
}

// keepAliases brings back the aliases without any value, which viper drops: what
// they lack has to be said.
func (f *findings) keepAliases(settings *Settings) {
	for key := range f.aliases {
		if settings.Databases == nil {
			settings.Databases = map[string]db.Settings{}
		}
		_, alias := cutLast(key)
		if _, ok := settings.Databases[alias]; !ok {
			settings.Databases[alias] = db.Settings{}
		}
	}
}

// resolveNames makes relative paths absolute: the files of SQLite, and the folder of
// the sockets.
func resolveNames(settings *Settings, t tree) {
	if l, ok := t["admin_sockets"].(*leaf); ok && l.dir != "" && settings.AdminSockets != "" && settings.AdminSockets != NoAdmin &&
		!filepath.IsAbs(settings.AdminSockets) {
		settings.AdminSockets = filepath.Join(l.dir, settings.AdminSockets)
	}
	databases, _ := t["databases"].(tree)
	for alias, database := range settings.Databases {
		keys, _ := databases[alias].(tree)
		name, ok := keys["name"].(*leaf)
		if !ok || name.dir == "" || database.WithDefaults().Engine != "sqlite" || !isRelativeFile(database.Name) {
			continue
		}
		database.Name = filepath.Join(name.dir, database.Name)
		settings.Databases[alias] = database
	}
}

func isRelativeFile(name string) bool {
	return name != "" && name != ":memory:" && !strings.HasPrefix(name, "file:") && !filepath.IsAbs(name)
}

func (f *findings) origins(t tree) map[string]origin {
	origins := map[string]origin{}
	for key, at := range f.aliases {
		origins[key] = origin{place: at}
	}
	for key, at := range f.sections {
		origins[key] = origin{place: at}
	}
	for l := range leaves(t) {
		origins[strings.ToLower(l.key)] = origin{l.place, l.shown(l.written())}
	}
	return origins
}

func leaves(t tree) iter.Seq[*leaf] {
	return func(yield func(*leaf) bool) {
		for _, value := range t {
			switch value := value.(type) {
			case *leaf:
				if !yield(value) {
					return
				}
			case tree:
				for l := range leaves(value) {
					if !yield(l) {
						return
					}
				}
			}
		}
	}
}

func (l *leaf) written() string {
	if !l.isList {
		return l.text
	}
	texts := make([]string, len(l.list))
	for i, element := range l.list {
		texts[i] = element.text
	}
	return strings.Join(texts, ", ")
}

// decode reads the value as what its field is.
func (l *leaf) decode(t reflect.Type) (any, *ConfigError) {
	isWord := t.Kind() == reflect.String
	switch {
	case l.null && (!isWord || !l.variable):
		return l.decodeNull(t)
	case t.Kind() == reflect.Slice:
		return l.decodeList(t)
	case l.isList:
		return nil, l.mistake("is a list", "write one value")
	case isWord:
		return l.text, nil
	case l.text == "":
		return nil, l.mistake("is empty", "give it a value, or take it away for the default")
	case t.Kind() == reflect.Bool:
		return l.decodeBool()
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return l.decodeDuration()
	case reflect.TypeFor[slog.Level]():
		return l.decodeLevel()
	case reflect.TypeFor[int64]():
		return l.decodeSize()
	}
	n, err := strconv.Atoi(l.text)
	if err != nil {
		return nil, l.mistake("is not a whole number", "write digits")
	}
	return n, nil
}

func (l *leaf) decodeNull(t reflect.Type) (any, *ConfigError) {
	switch {
	case l.forever():
		return db.Forever, nil
	case t.Kind() == reflect.Int64 && t != reflect.TypeFor[time.Duration]():
		return int64(NoLimit), nil
	case t.Kind() == reflect.Slice:
		return reflect.Zero(t).Interface(), nil
	case t.Kind() == reflect.String:
		return nil, l.mistake("is null", `leave it out, or write "" for an empty text`)
	}
	return nil, l.mistake("is null", "leave it out for the default")
}

// forever says whether null has a meaning for this duration.
func (l *leaf) forever() bool {
	return strings.HasSuffix(l.key, ".CONN_MAX_AGE") || strings.HasSuffix(l.key, ".CONN_MAX_IDLE") ||
		l.warns() || l.key == heartbeatKey
}

// warns says whether the duration is that of a warning, which null and 0 switch off.
func (l *leaf) warns() bool {
	return strings.HasSuffix(l.key, ".HOLD_IDLE_WARN") || strings.HasSuffix(l.key, ".SLOW_STATEMENT")
}

const heartbeatKey = "STREAM_HEARTBEAT"

func (l *leaf) decodeBool() (any, *ConfigError) {
	switch strings.ToLower(l.text) {
	case "true", "yes", "on", "1":
		return !l.negated, nil
	case "false", "no", "off", "0":
		return l.negated, nil
	}
	return nil, l.mistake("is neither true nor false", "say true or false")
}

func (l *leaf) decodeLevel() (any, *ConfigError) {
	switch strings.ToLower(l.text) {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return nil, l.mistake("is no level", "say debug, info, warn or error")
}

func (l *leaf) decodeDuration() (any, *ConfigError) {
	d, err := parseDuration(l.text)
	switch {
	case err != nil && l.warns():
		return nil, l.mistake(err.Error(), "write seconds as a number, a duration such as 500ms or 5s, or null to log nothing")
	case err != nil && l.key == heartbeatKey:
		return nil, l.mistake(err.Error(), "write seconds as a number, a duration such as 500ms or 15s, or null to send none")
	case err != nil && l.forever():
		return nil, l.mistake(err.Error(), "write seconds as a number, a duration such as 90s or 5m, or null to keep the connection")
	case err != nil:
		return nil, l.mistake(err.Error(), "write seconds as a number, or a duration such as 90s or 5m")
	case d == 0 && l.warns():
		return db.Forever, nil
	case d >= 0:
		return d, nil
	case strings.HasSuffix(l.key, ".CONN_MAX_AGE"):
		return nil, l.mistake("is negative", "use 0 to close after each request, or null to keep the connection")
	case l.warns():
		return nil, l.mistake("is negative", "use null to log nothing")
	case l.key == heartbeatKey:
		return nil, l.mistake("is negative", "use null to send none")
	case l.forever():
		return nil, l.mistake("is negative", "use null to keep idle connections")
	}
	return nil, l.mistake("is negative", "leave it out for the default")
}

// parseDuration reads "90s", "1h30m", and a number as seconds.
func parseDuration(text string) (time.Duration, error) {
	unit := ""
	if strings.Trim(text, "+-.0123456789") == "" {
		unit = "s"
	}
	d, err := time.ParseDuration(text + unit)
	if err != nil || d == 0 && strings.ContainsAny(text, "123456789") { // too small to be anything
		return 0, fmt.Errorf("is no duration")
	}
	return d, nil
}

func (l *leaf) decodeSize() (any, *ConfigError) {
	size, err := parseSize(l.text)
	switch {
	case err != nil:
		return nil, l.mistake(err.Error(), "write bytes as a number, a size such as 10MB or 32MiB, or null for no limit")
	case size < 0:
		return nil, l.mistake("is negative", "use null for no limit")
	}
	return size, nil
}

// parseSize reads "10MB" (decimal), "32MiB" (binary), and a number as bytes.
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "kKmMgGtTiIbB ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("is no size")
	}
	unit := int64(0)
	switch strings.ToLower(strings.TrimSpace(text[len(digits):])) {
	case "", "b":
		unit = 1
	case "kb":
		unit = 1e3
	case "mb":
		unit = 1e6
	case "gb":
		unit = 1e9
	case "tb":
		unit = 1e12
	case "kib":
		unit = 1 << 10
	case "mib":
		unit = 1 << 20
	case "gib":
		unit = 1 << 30
	case "tib":
		unit = 1 << 40
	}
	if unit == 0 || n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return 0, fmt.Errorf("is no size")
	}
	return n * unit, nil
}

func (l *leaf) decodeList(t reflect.Type) (any, *ConfigError) {
	items := l.list
	if !l.isList {
		if !l.variable {
			return nil, l.mistake("is not a list", "write ["+l.shown(l.text)+"]")
		}
		for text := range strings.SplitSeq(l.text, ",") {
			if text = strings.TrimSpace(text); text != "" {
				items = append(items, listItem{text, l.place})
			}
		}
	}
	var texts []string
	var prefixes []netip.Prefix
	for _, element := range items {
		texts = append(texts, element.text)
		if t != reflect.TypeFor[[]netip.Prefix]() {
			continue
		}
		prefix, ok := parsePrefix(element.text)
		if !ok {
			m := l.mistake("is no network", proxyHint)
			m.Value, m.File, m.Line = l.shown(element.text), element.file, element.line
			return nil, m
		}
		prefixes = append(prefixes, prefix)
	}
	if t == reflect.TypeFor[[]netip.Prefix]() {
		return prefixes, nil
	}
	return texts, nil
}

const proxyHint = `write an address, a network such as 10.0.0.0/8, or "unix" for unix sockets`

// parsePrefix reads a network, an address as the network of itself, or the word for
// unix sockets.
func parsePrefix(text string) (netip.Prefix, bool) {
	if text == unixPeers {
		return UnixPeers(), true
	}
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Masked(), true
	}
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return netip.Prefix{}, false
	}
	address = address.Unmap()
	return netip.PrefixFrom(address, address.BitLen()), true
}

package app

import (
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goquintet/quintet/db"
)

// Setting is one value of the settings.
type Setting struct {
	Key    string // "DATABASES.default.CONN_MAX_AGE"
	Value  string // as settings.yaml could have it; secrets are "[hidden]"
	Origin string // as [Settings.Origin] tells it

	value any
}

// Equal reports whether both have the same value, which may be a secret.
func (s Setting) Equal(other Setting) bool {
	if s.Value != other.Value {
		return false
	}
	v := reflect.ValueOf(s.value)
	return v.Kind() == reflect.Slice && v.Len() == 0 || reflect.DeepEqual(s.value, other.value) // no hosts are no hosts
}

// Values lists every key with its value, sorted: the keys of each alias of DATABASES
// and of its OPTIONS among them.
func (s Settings) Values() []Setting {
	all := s.values(siteSchema(), reflect.ValueOf(s))
	slices.SortFunc(all, func(a, b Setting) int { return strings.Compare(a.Key, b.Key) })
	return all
}

func (s Settings) values(at schema, v reflect.Value) (all []Setting) {
	switch {
	case v.Kind() == reflect.Map:
		for _, key := range v.MapKeys() {
			below, ok := at.below(key.String())
			if !ok { // an alias that no file could have
				below = schema{key: at.path(key.String()), typ: at.typ.Elem()}
			}
			all = append(all, s.values(below, v.MapIndex(key))...)
		}
	case at.section():
		for field := range at.fields() {
			below, _ := at.below(keyOf(field))
			all = append(all, s.values(below, v.FieldByIndex(field.Index))...)
		}
	default:
		all = append(all, Setting{Key: at.key, Value: at.format(v), Origin: s.Origin(at.key), value: v.Interface()})
	}
	return all
}

// format writes a value as it is read.
func (s schema) format(v reflect.Value) string {
	_, name := cutLast(s.key)
	switch value := v.Interface().(type) {
	case db.Secret:
		if value == "" {
			return `""`
		}
		return db.Redact("PASSWORD", string(value))
	case bool:
		return strconv.FormatBool(value != s.negated)
	case time.Duration:
		switch {
		case value == db.Forever:
			return "null"
		case value%time.Second == 0:
			return strconv.Itoa(int(value / time.Second))
		}
		return value.String()
	case slog.Level:
		return strings.ToLower(value.String())
	case int64:
		if value == NoLimit {
			return "null"
		}
		return strconv.FormatInt(value, 10)
	case int:
		return strconv.Itoa(value)
	}
	if v.Kind() != reflect.Slice {
		return quoteUnlessHidden(v.String(), db.Redact(name, v.String()))
	}
	items := make([]string, v.Len())
	for i := range items {
		text, ok := v.Index(i).Interface().(interface{ String() string })
		if !ok {
			items[i] = v.Index(i).String()
		} else {
			items[i] = text.String()
		}
		items[i] = quoteUnlessHidden(items[i], db.Redact(name, items[i]))
	}
	return "[" + strings.Join(items, ", ") + "]"
}

func quoteUnlessHidden(value, shown string) string {
	if value != shown {
		return shown
	}
	return strconv.Quote(value)
}

// DefaultValues are the values that nobody has to set, of the aliases of s as well:
// what [Settings.Values] differs from.
func (s Settings) DefaultValues() []Setting {
	defaults := Settings{Databases: make(map[string]db.Settings)}
	for alias := range maps.Keys(s.Databases) {
		defaults.Databases[alias] = db.Settings{}
	}
	return defaults.WithDefaults().Values()
}

package app

import (
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/goquintet/quintet/db"
)

// A schema is what may stand at a key. There is no list of keys: they are the
// fields of Settings and db.Settings.
type schema struct {
	key     string // as in errors: "DATABASES.default.CONN_MAX_AGE"
	typ     reflect.Type
	negated bool // the field says the opposite of its key
}

func siteSchema() schema { return schema{typ: reflect.TypeFor[Settings]()} }

// section says whether keys may stand below this one.
func (s schema) section() bool { return s.typ.Kind() == reflect.Struct || s.typ.Kind() == reflect.Map }

func (s schema) secret() bool { return s.typ == reflect.TypeFor[db.Secret]() }

// aliases says whether the keys below this one are the aliases of databases.
func (s schema) aliases() bool {
	return s.typ.Kind() == reflect.Map && s.typ.Elem().Kind() == reflect.Struct
}

// below returns the schema of a key in this section, in whatever case it is
// written, and false when there is no such key.
func (s schema) below(name string) (schema, bool) {
	switch {
	case !s.section():
		return schema{}, false
	case s.aliases() && validAlias(strings.ToLower(name)) != nil:
		return schema{}, false
	case s.typ.Kind() == reflect.Map:
		return schema{key: s.path(strings.ToLower(name)), typ: s.typ.Elem()}, true
	}
	for field := range s.fields() {
		if key := keyOf(field); strings.EqualFold(key, name) {
			return schema{key: s.path(key), typ: field.Type, negated: field.Tag != ""}, true
		}
	}
	return schema{}, false
}

func (s schema) path(name string) string {
	if s.key == "" {
		return name
	}
	return s.key + "." + name
}

func (s schema) fields() func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range s.typ.NumField() {
			if field := s.typ.Field(i); field.IsExported() && !yield(field) {
				return
			}
		}
	}
}

// keys are the names that a section of fixed keys knows.
func (s schema) keys() []string {
	var keys []string
	if s.typ.Kind() == reflect.Struct {
		for field := range s.fields() {
			keys = append(keys, keyOf(field))
		}
	}
	return keys
}

func keyOf(field reflect.StructField) string {
	if key := field.Tag.Get("settings"); key != "" {
		return key
	}
	return upperSnake(field.Name)
}

// upperSnake turns the name of a field into its key: SecureHSTSSeconds into
// SECURE_HSTS_SECONDS.
func upperSnake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) {
			wordEnds := !unicode.IsUpper(runes[i-1])
			wordBegins := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if wordEnds || wordBegins {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// validAlias says what is wrong with an alias. A dot would make keys ambiguous,
// two underscores the names of environment variables.
func validAlias(alias string) *ConfigError {
	valid := alias != "" && !strings.Contains(alias, "__") && !strings.HasPrefix(alias, "_") && !strings.HasSuffix(alias, "_")
	for _, r := range alias {
		valid = valid && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	}
	if valid {
		return nil
	}
	return &ConfigError{
		Key: "DATABASES." + alias, Problem: "is no alias",
		Hint: "use lower-case letters, digits, - and single _ between them",
	}
}

// unknown explains a key that a section does not have, and returns the known key
// that was probably meant, or "".
func (s schema) unknown(name string) (mistake *ConfigError, meant string) {
	if s.aliases() {
		return validAlias(strings.ToLower(name)), ""
	}
	mistake = &ConfigError{Key: s.path(strings.ToUpper(name)), Problem: "is unknown"}
	if s.key == "" {
		if mistake.Hint = elsewhere(strings.ToUpper(name)); mistake.Hint != "" {
			return mistake, ""
		}
	}
	if meant = nearest(strings.ToUpper(name), s.keys()); meant != "" {
		mistake.Hint = "did you mean " + meant + "?"
		return mistake, s.path(meant)
	}
	mistake.Hint = "known here are " + strings.Join(s.keys(), ", ")
	if !s.section() {
		mistake.Hint = s.key + " is one value"
	}
	return mistake, ""
}

// elsewhere says what became of the settings that somebody who knows Django
// looks for, and of those that stand one floor too high.
func elsewhere(key string) string {
	database := schema{typ: reflect.TypeFor[db.Settings]()}
	switch {
	case key == "INSTALLED_APPS":
		return "apps are Go: list them in app.Options.Apps"
	case key == "MIDDLEWARE":
		return "middleware is Go: list it in app.Options.Middleware"
	case key == "ROOT_URLCONF":
		return "routes are Go: give them to app.Options.Routes"
	case key == "DATA_UPLOAD_MAX_MEMORY_SIZE":
		return "say MAX_BODY"
	case key == "TIME_ZONE", key == "USE_TZ":
		return "databases speak UTC"
	case slices.Contains(database.keys(), key):
		return "it belongs to an alias: DATABASES.default." + key
	}
	return ""
}

// nearest returns the candidate that differs least from word, or "" when none is
// close enough to have been meant.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 1+max(len(word)/3, 1)
	for _, candidate := range candidates {
		if d := distance(word, candidate); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour.
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

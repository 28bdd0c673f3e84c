package app

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/viper"

	"github.com/goquintet/quintet/db"
)

// Load reads the settings of a site. Without paths it reads "settings.yaml".
//
// What is read later wins, key by key: the files in their order, then the
// environment. A relative path is looked for in the working directory, and from
// there upward to the folder that has the go.mod, so that tests of packages find
// it. The environment variable QUINTET_SETTINGS names another file than the first
// path, as DJANGO_SETTINGS_MODULE does. Each file must exist.
//
// In a file, keys are written in whatever case, aliases and options are read in
// lower case, a number without a unit is seconds, and null is Django's None. A
// relative NAME of a SQLite database is meant from the folder of the file that
// says it.
//
// Every key can be set by a variable, whether a file has it or not:
//
//	QUINTET_SECRET_KEY, QUINTET_DATABASES__DEFAULT__PASSWORD   levels are split by __
//	QUINTET_ALLOWED_HOSTS=a.example,b.example                  lists by commas
//	QUINTET_DATABASES__DEFAULT__PASSWORD_FILE=/run/secrets/db  a secret: the file's content, its last line end cut
//	QUINTET_DATABASES__REPLICA_1__HOST                         also the alias replica-1, if a file has that one
//	DATABASE_URL=postgresql://user:password@host:5432/name     when neither files nor QUINTET_ variables have the alias default
//	DATABASE_URL=sqlite:///site.db                             from the working directory; sqlite:////var/lib/site.db
//
// QUINTET_REQUIRE and QUINTET_TEST_... are no settings: they belong to tests.
//
// Load returns all mistakes at once, as joined *[ConfigError] values, and then no
// settings. A missing file is an fs.ErrNotExist, too. Otherwise what it returns
// is complete and valid: see [Settings.WithDefaults] and [Settings.Validate].
// Nothing is opened, and nothing is watched.
func Load(paths ...string) (Settings, error) {
	dir, err := os.Getwd()
	if err != nil {
		return Settings{}, fmt.Errorf("app: settings: %w", err)
	}
	return load(dir, os.Environ(), paths)
}

// LoadFile is [Load] of one file, whatever QUINTET_SETTINGS names: what the settings
// would be with it.
func LoadFile(path string) (Settings, error) {
	dir, err := os.Getwd()
	if err != nil {
		return Settings{}, fmt.Errorf("app: settings: %w", err)
	}
	isOverride := func(entry string) bool { return strings.HasPrefix(entry, envSettings+"=") }
	return load(dir, slices.DeleteFunc(os.Environ(), isOverride), []string{path})
}

// load is Load in a given folder and environment.
func load(dir string, environ, paths []string) (Settings, error) {
	env := parseEnviron(environ)
	files, err := findFiles(dir, env[envSettings], paths)
	if err != nil {
		return Settings{}, err
	}
	found := newFindings()
	var trees []tree
	for _, file := range files {
		trees = append(trees, found.readFile(file))
	}
	trees = append(trees, found.readEnvironment(dir, env))
	if url := env[envDatabaseURL]; url != "" && !found.has(defaultDatabase) {
		trees = append(trees, found.readDatabaseURL(url))
	}
	found.compareShapes()

	var settings Settings
	if !found.unreadable {
		settings = found.decode(mergeTrees(trees))
		for _, file := range files {
			settings.files = append(settings.files, file.path)
		}
		found.addUnexcused(settings.Validate())
	}
	if err := found.err(files); err != nil {
		return Settings{}, err
	}
	return settings.WithDefaults(), nil
}

const defaultDatabase = "DATABASES." + db.DefaultAlias

// mergeTrees lets viper lay the trees over each other. What it would lose never
// reaches it: a null and a list are leaves here, and shapes have been compared.
func mergeTrees(trees []tree) tree {
	v := viper.NewWithOptions(viper.KeyDelimiter(viperDelimiter))
	for _, t := range trees {
		_ = v.MergeConfigMap(t) // it only ever returns nil
	}
	return v.AllSettings()
}

// viperDelimiter separates the levels of a key for viper. Names with it are refused.
const viperDelimiter = "::"

// A tree is what one source says: a section is a tree, a value a *leaf. Names
// are in lower case.
type tree = map[string]any

// A leaf is a value as it is written, and where.
type leaf struct {
	schema
	place
	dir      string // what a relative NAME is meant from; empty is the working directory
	text     string
	null     bool
	list     []listItem
	isList   bool
	variable bool // from the environment: a list is separated by commas, null is a word
}

type listItem struct {
	text string
	place
}

func (l *leaf) mistake(problem, hint string) *ConfigError {
	return &ConfigError{
		File: l.file, Line: l.line, Key: l.key, Value: l.shown(l.written()), Problem: problem, Hint: hint,
	}
}

// shown is what may be shown of a value at this key.
func (s schema) shown(value string) string {
	_, name := cutLast(s.key)
	value = db.Redact(name, value)
	if runes := []rune(value); len(runes) > maxShown {
		value = string(runes[:maxShown]) + "..."
	}
	return value
}

const maxShown = 60

// cutLast cuts a key before its last name.
func cutLast(key string) (above, name string) {
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		return key[:i], key[i+1:]
	}
	return "", key
}

// findings are what was learned on the way through all sources.
type findings struct {
	mistakes   []*ConfigError
	unreadable bool             // a source could not be read: what is missing may be in it
	excused    map[string]bool  // by lower-case key: somebody has complained, a second complaint would confuse
	sections   map[string]place // by lower-case key: where keys were first found below it
	values     map[string]place // by lower-case key: where one value was first found
	misshapen  []*misshapen
	aliases    map[string]place // of databases
}

// misshapen is one value in the place of a section, or the other way round.
type misshapen struct {
	*ConfigError
	section bool
}

func newFindings() *findings {
	return &findings{
		excused: map[string]bool{}, sections: map[string]place{},
		values: map[string]place{}, aliases: map[string]place{},
	}
}

// addUnexcused adds what validation says of keys that nobody has complained of.
func (f *findings) addUnexcused(err error) {
	for _, err := range unjoin(err) {
		var m *ConfigError
		if errors.As(err, &m) && !f.excused[strings.ToLower(m.Key)] {
			f.mistakes = append(f.mistakes, m)
		}
	}
}

// complain adds a mistake and excuses its key, and others.
func (f *findings) complain(m *ConfigError, alsoAbout ...string) {
	f.mistakes = append(f.mistakes, m)
	for _, key := range append(alsoAbout, m.Key) {
		f.excused[strings.ToLower(key)] = true
	}
}

func (f *findings) has(section string) bool {
	_, ok := f.aliases[strings.ToLower(section)]
	return ok
}

func (f *findings) noteSection(s schema, at place, empty bool) {
	key := strings.ToLower(s.key)
	if above, _ := cutLast(key); above == "databases" {
		noteFirst(f.aliases, key, at)
	}
	if !empty {
		noteFirst(f.sections, key, at)
	}
}

func noteFirst(places map[string]place, key string, at place) {
	if _, ok := places[key]; !ok {
		places[key] = at
	}
}

// compareShapes names the other place, too, where one source has a value and
// another one keys.
func (f *findings) compareShapes() {
	for _, m := range f.misshapen {
		key := strings.ToLower(m.Key)
		if at, ok := f.values[key]; ok && m.section {
			m.Problem += fmt.Sprintf(", but %s has one value there", at)
		} else if at, ok := f.sections[key]; ok && !m.section {
			m.Problem += fmt.Sprintf(", but %s has keys there", at)
		}
	}
}

// err joins the mistakes in the order of their places.
func (f *findings) err(files []settingsFile) error {
	rank := func(m *ConfigError) int {
		i := slices.IndexFunc(files, func(file settingsFile) bool { return file.shown == m.File })
		if i < 0 {
			return len(files)
		}
		return i
	}
	slices.SortStableFunc(f.mistakes, func(a, b *ConfigError) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.File, b.File), cmp.Compare(a.Key, b.Key))
	})
	errs := make([]error, len(f.mistakes))
	for i, m := range f.mistakes {
		errs[i] = m
	}
	return errors.Join(errs...)
}

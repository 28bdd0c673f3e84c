package app

import (
	"maps"
	"os"
	"slices"
	"strings"
)

const (
	envPrefix     = "QUINTET_"
	envLevels     = "__"
	fileSuffix    = "_FILE"
	environmentOf = "environment " // stands before the name of a variable where the name of a file could stand
	optionLevels  = 4              // DATABASES, an alias, OPTIONS, an option
)

func parseEnviron(environ []string) map[string]string {
	env := map[string]string{}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			env[name] = value
		}
	}
	return env
}

// splitVariable splits the name of a variable into the levels of its key, and
// says whether it is the name of a setting at all.
func splitVariable(name string) (path []string, ok bool) {
	rest, ok := strings.CutPrefix(name, envPrefix)
	if !ok || name == envSettings || name == "QUINTET_REQUIRE" || strings.HasPrefix(name, "QUINTET_TEST_") {
		return nil, false
	}
	return strings.Split(rest, envLevels), true
}

// An environment reads the variables that are settings.
type environment struct {
	*findings
	dir   string
	out   tree
	given map[string]string // by lower-case key: the variable that says it
}

func (f *findings) readEnvironment(dir string, env map[string]string) tree {
	e := environment{findings: f, dir: dir, out: tree{}, given: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if path, ok := splitVariable(name); ok {
			e.read(name, path, env[name])
		}
	}
	return e.out
}

func (e environment) read(name string, path []string, text string) {
	at := place{file: environmentOf + name}
	names, s, mistake, meant := e.follow(path)
	if mistake != nil {
		fileNames, secret, ok := e.secretFile(path)
		if !ok {
			mistake.File = at.file
			e.complain(mistake, meant)
			return
		}
		names, s = fileNames, secret
		if text, mistake = e.content(at, s, text); mistake != nil {
			e.complain(mistake)
			return
		}
	}
	key := strings.ToLower(s.key)
	switch other, twice := e.given[key]; {
	case s.section():
		noteFirst(e.values, key, at)
		m := notSection(s, at, text)
		m.Hint = "name a key below it: " + variable(s.key) + envLevels + "..."
		e.complainShape(m, false)
		return
	case twice:
		e.complain(&ConfigError{File: at.file, Key: s.key, Problem: "is given by " + other + ", too", Hint: "unset one of them"})
		return
	}
	e.given[key] = name
	noteFirst(e.values, key, at)
	e.put(e.out, names, &leaf{schema: s, place: at, text: text, null: text == "null", variable: true})
}

// follow goes down the levels of a key. It returns their names as viper knows
// them and what stands there, or what is wrong and which key was probably meant.
func (e environment) follow(path []string) (names []string, s schema, mistake *ConfigError, meant string) {
	if len(path) > optionLevels { // the name of an option may have __ in it
		path = append(slices.Clone(path[:optionLevels-1]), strings.Join(path[optionLevels-1:], envLevels))
	}
	s = siteSchema()
	for _, name := range path {
		if name == "" || strings.Contains(name, viperDelimiter) {
			mistake = &ConfigError{Key: s.key, Problem: "has a level without a proper name", Hint: "write " + variable(defaultDatabase+".NAME")}
			return nil, s, mistake, ""
		}
		if s.aliases() {
			name = e.knownAlias(name)
		}
		below, ok := s.below(name)
		if !ok {
			mistake, meant = s.unknown(name)
			if meant != "" {
				mistake.Hint = "did you mean " + variable(meant) + "?"
			}
			return nil, s, mistake, meant
		}
		names, s = append(names, strings.ToLower(name)), below
	}
	return names, s, nil, ""
}

// knownAlias finds the alias replica-1 for REPLICA_1: no shell lets a variable
// have a hyphen.
func (e environment) knownAlias(name string) string {
	name = strings.ToLower(name)
	if e.has("databases." + name) {
		return name
	}
	for _, key := range slices.Sorted(maps.Keys(e.aliases)) {
		if _, alias := cutLast(key); strings.ReplaceAll(alias, "-", "_") == name {
			return alias
		}
	}
	return name
}

// secretFile recognises KEY_FILE, the variable that names the file of a secret.
func (e environment) secretFile(path []string) (names []string, s schema, ok bool) {
	path = slices.Clone(path)
	last := len(path) - 1
	stem, ok := strings.CutSuffix(strings.ToUpper(path[last]), fileSuffix)
	if !ok {
		return nil, schema{}, false
	}
	path[last] = stem
	names, s, mistake, _ := e.follow(path)
	return names, s, mistake == nil && s.secret()
}

// content reads a secret from its file, and cuts the last line end, which every
// editor and echo add.
func (e environment) content(at place, s schema, path string) (string, *ConfigError) {
	data, err := os.ReadFile(absolutePath(e.dir, path))
	if err != nil {
		m := unreadableFile(at.file, s.key, err)
		m.Value = path
		return "", m
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return "", &ConfigError{
			File: at.file, Key: s.key, Value: path, Problem: "the file is empty",
			Hint: "write the secret into it, or unset the variable",
		}
	}
	return text, nil
}

// put hangs a leaf into the tree, and notes the sections on the way.
func (f *findings) put(t tree, names []string, l *leaf) {
	s := siteSchema()
	for _, name := range names[:len(names)-1] {
		s, _ = s.below(name)
		f.noteSection(s, l.place, false)
		below, ok := t[name].(tree)
		if !ok {
			below = tree{}
			t[name] = below
		}
		t = below
	}
	t[names[len(names)-1]] = l
}

// variable names the environment variable of a key.
func variable(key string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", envLevels, "-", "_").Replace(key))
}

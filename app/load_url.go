package app

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

const envDatabaseURL = "DATABASE_URL"

// readDatabaseURL turns the address that hosting platforms hand out into the
// alias default. Its parts are named as libpq names them; what is no setting of
// ours becomes an option.
func (f *findings) readDatabaseURL(address string) tree {
	database, options, mistake := parseDatabaseURL(address)
	if mistake != nil {
		mistake.File, mistake.Key = environmentOf+envDatabaseURL, defaultDatabase
		f.complain(mistake)
		return nil
	}
	out := tree{}
	set := func(text string, names ...string) {
		s := siteSchema()
		for _, name := range names {
			s, _ = s.below(name)
		}
		f.put(out, names, &leaf{schema: s, place: place{file: environmentOf + envDatabaseURL}, text: text, variable: true})
	}
	for _, key := range slices.Sorted(maps.Keys(database)) {
		set(database[key], "databases", "default", key)
	}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		set(options[key], "databases", "default", "options", key)
	}
	return out
}

// parseDatabaseURL never quotes the address, because it has a password in it:
// neither may the errors of net/url be passed on.
func parseDatabaseURL(address string) (database, options map[string]string, mistake *ConfigError) {
	scheme, rest, ok := strings.Cut(address, "://")
	switch scheme = strings.ToLower(scheme); {
	case ok && scheme == "sqlite":
		return parseSQLiteURL(rest)
	case ok && (scheme == "postgresql" || scheme == "postgres"):
		return parsePostgresURL(address)
	}
	return nil, nil, &ConfigError{
		Value: "[hidden]", Problem: "is not understood",
		Hint: "write " + postgresURL + ", or " + sqliteURL,
	}
}

const (
	postgresURL = "postgresql://user:password@host:5432/name"
	sqliteURL   = "sqlite:///site.db"
)

func parsePostgresURL(address string) (database, options map[string]string, mistake *ConfigError) {
	bad := func(problem, hint string) (map[string]string, map[string]string, *ConfigError) {
		return nil, nil, &ConfigError{Value: "[hidden]", Problem: problem, Hint: hint}
	}
	u, err := url.Parse(address)
	if err != nil || u.Fragment != "" {
		return bad("is not understood", "write "+postgresURL+", with # / ? @ and % in the password as %23 %2F %3F %40 and %25")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("is not understood after its ?", "write "+postgresURL+"?sslmode=require")
	}
	password, _ := u.User.Password()
	database = map[string]string{
		"user": u.User.Username(), "password": password, "host": u.Hostname(), "port": u.Port(),
		"name": strings.TrimPrefix(u.Path, "/"),
	}
	options = map[string]string{}
	for key, values := range query {
		into, key := options, strings.ToLower(key)
		if key == "dbname" {
			key = "name"
		}
		if _, own := database[key]; own {
			into = database
		}
		if len(values) > 1 || into[key] != "" {
			return bad("says "+key+" twice", "keep one of them")
		}
		if key == "" || strings.Contains(key, viperDelimiter) {
			return bad("has an option without a proper name after its ?", "write "+postgresURL+"?sslmode=require")
		}
		into[key] = values[0]
	}
	maps.DeleteFunc(database, func(_, text string) bool { return text == "" })
	database["engine"] = "postgres"
	return database, options, nil
}

// parseSQLiteURL reads what follows sqlite://. As in dj-database-url and
// SQLAlchemy, a third slash only ends the host that is not there, and a fourth
// one begins an absolute path.
func parseSQLiteURL(rest string) (database, options map[string]string, mistake *ConfigError) {
	path, rawQuery, _ := strings.Cut(rest, "?")
	name, rooted := strings.CutPrefix(path, "/")
	name, err := url.PathUnescape(name)
	query, queryErr := url.ParseQuery(rawQuery)
	if err != nil || queryErr != nil || name == "" || !rooted && name != ":memory:" {
		return nil, nil, &ConfigError{
			Value: "[hidden]", Problem: "is not understood",
			Hint: "write " + sqliteURL + " for a relative path, sqlite:////var/lib/site.db for an absolute one",
		}
	}
	options = map[string]string{}
	for key, values := range query {
		options[strings.ToLower(key)] = values[len(values)-1]
	}
	return map[string]string{"engine": "sqlite", "name": name}, options, nil
}

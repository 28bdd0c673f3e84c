package app

import (
	"log/slog"
	"slices"
	"strings"
)

// knownProblem is what the framework may find; CHECKS.md explains each.
type knownProblem struct {
	id    string
	level slog.Level
	tag   string
	title string
}

// knownProblems are all of them. Those with a prefix of Django's mean what they
// mean there.
func knownProblems() []knownProblem {
	return []knownProblem{
		{"models.E007", slog.LevelError, "models", "Two fields of a model have one column"},
		{"models.E028", slog.LevelError, "models", "Two models have one table"},
		{"security.W004", slog.LevelWarn, "security", "SECURE_HSTS_SECONDS is not set"},
		{"security.W009", slog.LevelWarn, "security", "SECRET_KEY is missing or weak"},
		{"security.W018", slog.LevelWarn, "security", "DEBUG is true"},
		{"security.W019", slog.LevelWarn, "security", "X_FRAME_OPTIONS is not DENY"},
		{"security.W020", slog.LevelWarn, "security", "ALLOWED_HOSTS is empty"},

		{"quintet.C001", LevelCritical, "", "A check panicked"},
		{"quintet.E001", slog.LevelError, "models", "A model cannot be mapped"},
		{"quintet.E002", slog.LevelError, "templates", "A template is broken"},
		{"quintet.E003", slog.LevelError, "templates", "A template names a route that does not exist"},
		{"quintet.E004", slog.LevelError, "migrations", "A migration file is wrong"},
		{"quintet.E005", slog.LevelError, "settings", "Several processes cannot share a database in memory"},
		{"quintet.E006", slog.LevelError, "database", "A database cannot be asked"},
		{"quintet.E007", slog.LevelError, "database", "The server cannot give as many connections"},
		{"quintet.E008", slog.LevelError, "database", "A model does not fit its table"},
		{"quintet.W001", slog.LevelWarn, "settings", "CONN_MAX_AGE is 0 on a site that streams"},
		{"quintet.W002", slog.LevelWarn, "build", "The framework is replaced by a working copy"},
		{"quintet.W003", slog.LevelWarn, "database", "The server has not as many connections left"},
		{"quintet.W004", slog.LevelWarn, "settings", "SECURE_HSTS_SECONDS has no effect"},
		{"quintet.W005", slog.LevelWarn, "security", "TRUSTED_PROXIES believes everybody"},
		{"quintet.W006", slog.LevelWarn, "settings", "ALLOWED_HOSTS has any host, and others"},
		{"quintet.W007", slog.LevelWarn, "settings", "DEBUG is shown to the network"},
		{"quintet.W008", slog.LevelWarn, "settings", "CONN_MAX_IDLE has no effect"},
		{"quintet.W009", slog.LevelWarn, "security", "A connection to a database may be unencrypted"},
		{"quintet.W010", slog.LevelWarn, "settings", "SILENCED_SYSTEM_CHECKS has an unknown ID"},
		{"quintet.W011", slog.LevelWarn, "urls", "Two routes differ in the slash at their end"},
		{"quintet.W012", slog.LevelWarn, "urls", "A route lies where static files are"},
		{"quintet.W013", slog.LevelWarn, "templates", "Two apps have a file of the same name"},
		{"quintet.W014", slog.LevelWarn, "models", "A model has no primary key"},
		{"quintet.W015", slog.LevelWarn, "database", "Migrations are not applied"},
	}
}

// known makes one of the framework's problems.
func known(id, object, message, hint string) Problem {
	all := knownProblems()
	i := slices.IndexFunc(all, func(k knownProblem) bool { return k.id == id })
	return Problem{ID: id, Level: all[i].level, Object: object, Message: message, Hint: hint} // panics for one that is not listed
}

// isForeign says whether an ID may be that of an app.
func isForeign(id string) bool {
	prefix, _, ok := strings.Cut(id, ".")
	return ok && !slices.ContainsFunc(knownProblems(), func(k knownProblem) bool { return strings.HasPrefix(k.id, prefix+".") })
}

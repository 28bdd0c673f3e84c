package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/goquintet/quintet/db"
)

const (
	applicationName = "quintet"
	longestName     = 63 // NAMEDATALEN - 1
)

// configure turns settings into pgx's configuration. pgx insists on parsing a
// string: the string has only what it must parse, each value quoted; the rest, and
// the password, is set on the result.
func configure(alias string, s db.Settings) (*pgx.ConnConfig, *net.Dialer, error) {
	var errs []error
	bad := func(key, hint, problem string, args ...any) {
		errs = append(errs, &db.SettingsError{Alias: alias, Key: key, Problem: fmt.Sprintf(problem, args...), Hint: hint})
	}

	service := s.Options["service"] != ""
	switch {
	case s.Name == "" && !service:
		bad("NAME", "name the database, or a service in OPTIONS", "is missing")
	case len(s.Name) > longestName:
		bad("NAME", "choose a shorter one", "%q has %d bytes, and PostgreSQL's limit is %d", s.Name, len(s.Name), longestName)
	}
	for _, f := range []struct{ key, value string }{
		{"NAME", s.Name}, {"USER", s.User}, {"HOST", s.Host}, {"PASSWORD", string(s.Password)},
	} {
		if strings.ContainsRune(f.value, 0) {
			bad(f.key, "remove it", "has a NUL byte")
		}
	}
	if s.Host != "" && slices.Contains(strings.Split(s.Host, ","), "") {
		bad("HOST", "name one there, or remove the comma", "%q has a comma with no host beside it", s.Host) // pgx would take it for this machine
	}
	for _, key := range slices.Sorted(maps.Keys(s.Options)) {
		if problem, hint := wrongOption(key, s.Options[key]); problem != "" {
			bad("OPTIONS."+key, hint, "%s", problem)
		} else if s.Pooler == db.PoolerPgBouncer {
			if problem, hint := wrongBehindPooler(key, s.Options[key]); problem != "" {
				bad("OPTIONS."+key, hint, "%s", problem)
			}
		}
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}

	cfg, err := pgx.ParseConfig(connString(s))
	if err != nil {
		bad("OPTIONS", "", "%s", withoutSecrets(err))
		return nil, nil, errors.Join(errs...)
	}
	if s.Password != "" {
		cfg.Password = string(s.Password)
	}
	cfg.DefaultQueryExecMode = execMode(s.Options["exec_mode"])
	cfg.ConnectTimeout = 0 // the pool's covers one attempt on all addresses; see resolve
	setParameters(cfg.RuntimeParams, s.Options)
	if s.Pooler == db.PoolerPgBouncer { // the environment and the service file know nothing of it
		maps.DeleteFunc(cfg.RuntimeParams, func(key, _ string) bool { return !slices.Contains(carried(), key) })
	}
	if check := cfg.ValidateConnect; check != nil {
		cfg.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
			err := check(ctx, conn)
			if _, fallback := errors.AsType[*pgconn.NotPreferredError](err); err == nil || fallback {
				return err // pgx knows this one by its type
			}
			return fmt.Errorf("%w: %w", errUnsuitable, err)
		}
	}
	return cfg, newDialer(s.Options), nil
}

// setParameters adds the run-time parameters. params has what the environment and
// a service file say (PGAPPNAME, PGOPTIONS).
func setParameters(params, options map[string]string) {
	if params["application_name"] == "" {
		params["application_name"] = applicationName
	}
	params["timezone"] = "UTC"
	for key, value := range options {
		switch {
		case key == "assume_role":
			params["role"] = value
		case kindOf(key) == parameter:
			params[key] = value
		}
	}
	params["standard_conforming_strings"] = "on"
}

// connString has every key that pgx would otherwise take from the environment in
// spite of the settings.
func connString(s db.Settings) string {
	var b strings.Builder
	add := func(key, value string) {
		b.WriteString(key + "='")
		for i := range len(value) {
			if value[i] == '\\' || value[i] == '\'' {
				b.WriteByte('\\')
			}
			b.WriteByte(value[i])
		}
		b.WriteString("' ")
	}
	addSet := func(key, value string) {
		if value != "" {
			add(key, value)
		}
	}
	addSet("host", s.Host)
	if s.Port != 0 {
		add("port", strconv.Itoa(s.Port))
	}
	addSet("user", s.User)
	addSet("dbname", s.Name)
	add("connect_timeout", "0") // CONNECT_TIMEOUT is the pool's
	for _, key := range slices.Sorted(maps.Keys(s.Options)) {
		if kindOf(key) == connection {
			add(key, s.Options[key])
		}
	}
	return b.String()
}

// withoutSecrets is what pgx says about a string that it could not parse, without
// the string: it may have the password of a key file.
func withoutSecrets(err error) string {
	var parse *pgconn.ParseConfigError
	if !errors.As(err, &parse) {
		return err.Error()
	}
	silent := *parse
	silent.ConnString = ""
	return strings.TrimPrefix(silent.Error(), "cannot parse ``: ")
}

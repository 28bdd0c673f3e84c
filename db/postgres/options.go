package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// kind is what a key of OPTIONS is.
type kind int

const (
	parameter  kind = iota // a run-time parameter of the session
	connection             // pgx reads it from the connection string
	ours                   // this package does
	refused                // with a hint
)

func kindOf(key string) kind {
	switch key {
	case "exec_mode", "assume_role",
		"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout":
		return ours
	case "sslmode", "sslkey", "sslcert", "sslcertmode", "sslrootcert", "sslnegotiation", "sslpassword", "sslsni",
		"target_session_attrs", "channel_binding", "require_auth", "krbspn", "krbsrvname",
		"service", "servicefile", "passfile", "min_protocol_version", "max_protocol_version",
		"statement_cache_capacity", "description_cache_capacity":
		return connection
	}
	if hint := refusal(key); hint != "" {
		return refused
	}
	return parameter
}

// refusal is what to do instead of a key that would not do what it says.
func refusal(key string) string {
	switch key {
	case "connect_timeout":
		return "use CONNECT_TIMEOUT"
	case "host", "hostaddr":
		return "use HOST"
	case "port", "user", "password":
		return "use " + strings.ToUpper(key)
	case "dbname", "database":
		return "use NAME"
	case "default_query_exec_mode", "server_side_binding":
		return "use exec_mode"
	case "isolation_level":
		return "use default_transaction_isolation with a name, such as \"repeatable read\""
	case "pool":
		return "every alias has a pool; use MAX_CONNECTIONS and the settings next to it"
	case "fallback_application_name":
		return "use application_name"
	case "gssencmode", "gssdelegation", "gsslib", "sslcompression", "sslcrl", "sslcrldir", "requiressl", "requirepeer",
		"ssl_min_protocol_version", "ssl_max_protocol_version", "sslkeylogfile", "load_balance_hosts",
		"scram_client_key", "scram_server_key", "replication":
		return "remove it: libpq has it, pgx has not"
	}
	return ""
}

// wrongOption reports what is wrong with one option, without its value where that
// may be a secret.
func wrongOption(key, value string) (problem, hint string) {
	switch {
	case !isParameterName(key):
		return fmt.Sprintf("%q is no name of an option", key), "write it in lower case, as PostgreSQL's manual does"
	case strings.ContainsRune(value, 0):
		return "has a NUL byte", "remove it"
	case kindOf(key) == refused:
		return "is no option here", refusal(key)
	}
	switch key {
	case "exec_mode":
		if !slices.Contains(execModes(), value) {
			return fmt.Sprintf("%q is unknown", value), "say " + strings.Join(execModes(), ", ")
		}
	case "keepalives":
		if value != "0" && value != "1" {
			return fmt.Sprintf("%q is unknown", value), "say 1 or 0"
		}
	case "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout":
		if n, err := strconv.Atoi(value); err != nil || n < 0 || n > 1<<31/1000 {
			return fmt.Sprintf("%q is no number", value), "give a whole number, or leave it out"
		}
	case "standard_conforming_strings":
		if value != "on" {
			return fmt.Sprintf("%q would make bun's quoting unsafe", value), "leave it out"
		}
	case "client_encoding":
		if !strings.EqualFold(value, "utf8") && !strings.EqualFold(value, "utf-8") {
			return fmt.Sprintf("%q cannot carry Go's strings", value), "leave it out"
		}
	}
	return "", ""
}

// isParameterName reports whether key is a name as PostgreSQL writes it: a parameter,
// or one of an extension, with a dot.
func isParameterName(key string) bool {
	for part := range strings.SplitSeq(key, ".") {
		for i := range len(part) {
			letter := part[i] == '_' || 'a' <= part[i] && part[i] <= 'z'
			if !letter && (i == 0 || part[i] < '0' || part[i] > '9') {
				return false
			}
		}
		if part == "" {
			return false
		}
	}
	return true
}

func execModes() []string {
	return []string{"exec", "simple_protocol", "cache_describe", "cache_statement", "describe_exec"}
}

// execMode is pgx's name of what exec_mode says.
func execMode(value string) pgx.QueryExecMode {
	switch value {
	case "simple_protocol":
		return pgx.QueryExecModeSimpleProtocol
	case "cache_describe":
		return pgx.QueryExecModeCacheDescribe
	case "cache_statement":
		return pgx.QueryExecModeCacheStatement
	case "describe_exec":
		return pgx.QueryExecModeDescribeExec
	default:
		return pgx.QueryExecModeExec
	}
}

// number is an option that wrongOption has passed, or its default.
func number(options map[string]string, key string, unit, byDefault time.Duration) time.Duration {
	if n, err := strconv.Atoi(options[key]); err == nil {
		return time.Duration(n) * unit
	}
	return byDefault
}

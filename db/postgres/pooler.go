package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"

	"github.com/goquintet/quintet/db/pool"
)

// What changes with POOLER: pgbouncer, where each transaction may be on another
// session: startup parameters that PgBouncer does not carry over are refused, and so
// are statements that leave something on the session that nobody would find again,
// or somebody else would.

// carried are the parameters that PgBouncer sets on a session before it hands that on.
func carried() []string {
	return []string{"application_name", "client_encoding", "datestyle", "standard_conforming_strings", "timezone"}
}

// poolerModes are the exec modes that need no more than one round trip, and nothing
// of an earlier one.
func poolerModes() []string { return []string{"exec", "simple_protocol"} }

// wrongBehindPooler reports what is wrong with an option behind PgBouncer.
func wrongBehindPooler(key, value string) (problem, hint string) {
	switch {
	case key == "exec_mode" && !slices.Contains(poolerModes(), value):
		return fmt.Sprintf("%q prepares statements on a session, and with POOLER pgbouncer the next one may be on another", value),
			"say " + strings.Join(poolerModes(), " or ")
	case key == "assume_role":
		return "is a startup parameter, and PgBouncer refuses those that it does not know", "log in as that role, or say SET LOCAL ROLE in a block"
	case kindOf(key) == parameter && !slices.Contains(carried(), key):
		return "is a startup parameter, and PgBouncer refuses those that it does not know",
			fmt.Sprintf("set it on the server, with ALTER ROLE ... SET %s or ALTER DATABASE ... SET %s, or with SET LOCAL in a block", key, key)
	}
	return "", ""
}

func (s *session) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := s.refuses(query); err != nil {
		return nil, err
	}
	return s.stdConn.ExecContext(ctx, query, args)
}

func (s *session) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.refuses(query); err != nil {
		return nil, err
	}
	if s.exec && len(args) == 0 && alone(query) {
		return s.askAlone(ctx, query)
	}
	return s.stdConn.QueryContext(ctx, query, args)
}

func (s *session) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if s.pooled {
		return nil, needsSession("a prepared statement", "send it as it is; package db prepares nothing")
	}
	return s.stdConn.PrepareContext(ctx, query)
}

func (s *session) refuses(query string) error {
	if !s.pooled {
		return nil
	}
	what, hint := sessionBound(query)
	if what == "" {
		return nil
	}
	return needsSession(what, hint)
}

func needsSession(what, hint string) error {
	return fmt.Errorf("%w: %s, and with POOLER pgbouncer each transaction may be on another; %s", pool.ErrNeedsSession, what, hint)
}

// sessionBound names what in a query lives on its session for longer than the
// transaction, and what to do instead. What is not known is let through.
func sessionBound(query string) (what, hint string) {
	r := reader{text: query}
	var buf [32]byte
	var verb, before, temp string // of the statement that is read
	for at := 0; ; at++ {
		word, punct := r.next()
		switch {
		case word == "" && punct == 0, punct == ';':
			if temp != "" {
				return temp, "say ON COMMIT DROP, in a block"
			}
			if word == "" && punct == 0 {
				return "", ""
			}
			verb, before, at = "", "", -1
			continue
		case word == "":
			continue
		}
		low := string(lower(&buf, word))
		if verb == "" {
			verb = low
			if what, hint := boundVerb(verb); what != "" {
				return what, hint
			}
		} else if what, hint := boundWord(verb, before, low, at); what != "" {
			return what, hint
		}
		switch {
		case (low == "temp" || low == "temporary") && slices.Contains([]string{"create", "into", "global", "local", "replace"}, before):
			temp = "a temporary table"
		case low == "drop" && before == "commit":
			temp = ""
		case strings.HasPrefix(low, "pg_advisory_lock"), strings.HasPrefix(low, "pg_try_advisory_lock"), strings.HasPrefix(low, "pg_advisory_unlock"):
			return "an advisory lock of the session", "take pg_advisory_xact_lock, in a block, or an alias that leads to the server itself"
		}
		before = low
	}
}

func boundVerb(verb string) (what, hint string) {
	switch verb {
	case "listen", "unlisten":
		return "LISTEN", "take Connections.Dedicated of an alias that leads to the server itself"
	case "execute", "deallocate":
		return strings.ToUpper(verb), "send the statement as it is"
	case "load", "discard", "reset":
		return strings.ToUpper(verb), "leave it to the server and to PgBouncer"
	}
	return "", ""
}

func boundWord(verb, before, word string, at int) (what, hint string) {
	switch {
	case verb == "set" && at == 1 && !slices.Contains([]string{"local", "transaction", "constraints"}, word):
		return "SET", "say SET LOCAL, in a block, or set it on the server with ALTER ROLE ... SET"
	case verb == "prepare" && at == 1 && word != "transaction":
		return "PREPARE", "send the statement as it is"
	case verb == "declare" && word == "hold" && before == "with":
		return "a cursor WITH HOLD", "read it within the block"
	}
	return "", ""
}

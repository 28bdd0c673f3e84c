package postgres

import (
	"database/sql/driver"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// A query that is alone goes to the server in one message, by the simple protocol, which
// takes less than the five of exec do.

// simply is how pgx is told so for one query.
type simply [1]driver.NamedValue

func newSimply() simply { return simply{{Value: pgx.QueryExecModeSimpleProtocol}} }

// mayGoAlone reports whether the session's settings are those that pgx asks for with the
// simple protocol.
func (s *session) mayGoAlone() bool {
	pg := s.pg()
	return s.exec && pg.ParameterStatus("standard_conforming_strings") == "on" && pg.ParameterStatus("client_encoding") == "UTF8"
}

// alone reports whether a query is one statement for certain, and one that answers with
// rows: without a semicolon, not even in a string, there is no second one, however the
// text was put together. A dollar sign would be a parameter for pgx.
func alone(query string) bool {
	if strings.IndexByte(query, ';') >= 0 || strings.IndexByte(query, '$') >= 0 || !utf8.ValidString(query) {
		return false
	}
	query = strings.TrimLeft(query, " \t\n\r")
	word, _, _ := strings.Cut(query, " ")
	switch word {
	case "SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "select", "with", "insert", "update", "delete":
		return true
	}
	return false
}

package pool

import "strings"

// class is a kind of error that may belong to a wider one.
type class struct {
	text string
	in   error
}

func (c *class) Error() string { return c.text }
func (c *class) Unwrap() error { return c.in }

// The classes of errors that databases report, as Django has them; each is an
// ErrDatabase. What a statement returns unwraps to its class and to the driver's
// own error.
var (
	// ErrDatabase is any error that the database has reported.
	ErrDatabase error = &class{"db: database error", nil}

	// ErrData reports a value that the database cannot take or compute.
	ErrData error = &class{"db: data error", ErrDatabase}

	// ErrIntegrity reports a violated constraint: those below, or another.
	ErrIntegrity error = &class{"db: integrity error", ErrDatabase}
	// ErrUnique reports a double key.
	ErrUnique error = &class{"db: unique constraint violated", ErrIntegrity}
	// ErrForeignKey reports a reference to what is not there.
	ErrForeignKey error = &class{"db: foreign key constraint violated", ErrIntegrity}
	// ErrNotNull reports a missing value.
	ErrNotNull error = &class{"db: not null constraint violated", ErrIntegrity}
	// ErrCheck reports a value that a CHECK refuses.
	ErrCheck error = &class{"db: check constraint violated", ErrIntegrity}

	// ErrOperational reports what is not the statement's fault: a lost
	// connection, a lock that could not be had, a full disk.
	ErrOperational error = &class{"db: operational error", ErrDatabase}
	// ErrSerialization reports that the transaction collided with another one and
	// may succeed when it is run again from its beginning.
	ErrSerialization error = &class{"db: serialization failure", ErrOperational}

	// ErrProgramming reports a mistake in the statement: its syntax, or a name that
	// does not exist.
	ErrProgramming error = &class{"db: programming error", ErrDatabase}
	// ErrNotSupported reports what this database cannot do.
	ErrNotSupported error = &class{"db: not supported", ErrDatabase}
	// ErrInternal reports that the database is confused.
	ErrInternal error = &class{"db: internal error", ErrDatabase}
)

// databaseError is a driver's error with its class. It reads as the driver's.
type databaseError struct {
	class, driver error
	query         string // the statement that failed
}

func (e *databaseError) Error() string   { return e.driver.Error() }
func (e *databaseError) Unwrap() []error { return []error{e.driver, e.class} }

// leastQuoted is how long a value is at least that is looked for without quotes: a
// shorter one may be a part of any word.
const leastQuoted = 5

// Loggable is an error as a log may have it: err itself, or its text where that has had
// values of the statements that failed, which databases quote and which may be secrets. An
// error whose own methods panic is left to slog, which says so. Nil is nil.
func Loggable(err error) (logged any) {
	if err == nil {
		return nil
	}
	defer func() {
		if recover() != nil {
			logged = err
		}
	}()
	full := err.Error()
	text := full
	for _, query := range failedQueries(nil, err) {
		for _, value := range Values(query) {
			text = strings.ReplaceAll(text, `"`+value+`"`, `"?"`)
			if len(value) >= leastQuoted {
				text = strings.ReplaceAll(text, value, "?")
			}
		}
	}
	if text != full {
		return text
	}
	return err
}

// failedQueries are the statements of all errors in err.
func failedQueries(queries []string, err error) []string {
	switch e := err.(type) { //nolint:errorlint // it looks at each of them
	case *databaseError:
		return append(queries, e.query)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			queries = failedQueries(queries, inner)
		}
	case interface{ Unwrap() error }:
		queries = failedQueries(queries, e.Unwrap())
	}
	return queries
}

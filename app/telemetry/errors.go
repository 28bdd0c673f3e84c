package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/codes"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/views"
)

const statusError = codes.Error

// nobodys are the ends of requests and statements that are no failures.
func nobodys() []error {
	return []error{context.Canceled, views.ErrClientGone, views.ErrMaxAge, app.ErrShutdown, http.ErrAbortHandler}
}

// errorType is what may be said of an error, and is one of a few: the code of the
// database, a name that Quintet or the standard library has for it, or its type.
func errorType(err error) string {
	if code := codeOf(err); code != "" {
		return code
	}
	if e, ok := errors.AsType[*db.AcquireError](err); ok {
		return string(e.Kind)
	}
	for _, known := range []struct {
		err  error
		name string
	}{
		{views.ErrClientGone, "views.ErrClientGone"}, {views.ErrMaxAge, "views.ErrMaxAge"}, {app.ErrShutdown, "app.ErrShutdown"},
		{http.ErrAbortHandler, "http.ErrAbortHandler"},
		{db.ErrTransactionAborted, "db.ErrTransactionAborted"}, {db.ErrOutsideBlock, "db.ErrOutsideBlock"},
		{db.ErrHeldAcrossYield, "db.ErrHeldAcrossYield"}, {db.ErrReleased, "db.ErrReleased"}, {db.ErrBusy, "db.ErrBusy"},
		{db.ErrUnavailable, "db.ErrUnavailable"}, {db.ErrConnectionLost, "db.ErrConnectionLost"},
		{context.DeadlineExceeded, "context.DeadlineExceeded"}, {context.Canceled, "context.Canceled"}, {db.ErrDatabase, "db.ErrDatabase"},
	} {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

// codeOf is the code that the database has for an error: the SQLSTATE of PostgreSQL, the
// number of SQLite; "" when it is not of the database.
func codeOf(err error) string {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return e.SQLState()
	}
	if e, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok {
		return strconv.Itoa(e.Code())
	}
	return ""
}

package views

import (
	"database/sql"
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
)

// What a view returns when the answer is an ordinary refusal. Wrap them to say
// more to the log, or return an [*Error] of the same status to say more to the
// client: errors.Is finds the sentinel in both.
//
//	return nil, fmt.Errorf("poll %d: %w", id, views.ErrNotFound)
//	return nil, &views.Error{Status: http.StatusNotFound, Message: "This poll has ended."}
var (
	// ErrBadRequest answers 400: the client sent something that cannot be
	// understood. Django's BadRequest and SuspiciousOperation.
	ErrBadRequest error = &Error{Status: http.StatusBadRequest}
	// ErrUnauthorized answers 401: the client has to say who it is.
	ErrUnauthorized error = &Error{Status: http.StatusUnauthorized}
	// ErrPermission answers 403. Django's PermissionDenied.
	ErrPermission error = &Error{Status: http.StatusForbidden}
	// ErrNotFound answers 404. Django's Http404.
	ErrNotFound error = &Error{Status: http.StatusNotFound}
	// ErrMethodNotAllowed answers 405. Django's HttpResponseNotAllowed.
	ErrMethodNotAllowed error = &Error{Status: http.StatusMethodNotAllowed}
	// ErrConflict answers 409: what is stored does not permit it.
	ErrConflict error = &Error{Status: http.StatusConflict}
	// ErrTooLarge answers 413: the body of the request is larger than the site
	// accepts. Django's RequestDataTooBig.
	ErrTooLarge error = &Error{Status: http.StatusRequestEntityTooLarge}
	// ErrUnsupportedMediaType answers 415: the body is of a type that the view
	// does not read.
	ErrUnsupportedMediaType error = &Error{Status: http.StatusUnsupportedMediaType}
	// ErrTooManyRequests answers 429.
	ErrTooManyRequests error = &Error{Status: http.StatusTooManyRequests}
	// ErrUnavailable answers 503: not now, perhaps later.
	ErrUnavailable error = &Error{Status: http.StatusServiceUnavailable}
)

// ErrClientGone reports that a response ended because its client left or took
// too long to read it: nobody is there to be answered, and nothing is wrong with
// the site. The error that carries it also wraps the cause.
var ErrClientGone = errors.New("views: the client has gone")

// StatusClientGone is the status that [StatusOf] gives to [ErrClientGone]. It is
// never sent; logs know it from nginx, where it has the same meaning.
const StatusClientGone = 499

// Error is an error with the status that answers it. The zero Status is 500.
type Error struct {
	Status  int    // 400 to 599
	Message string // for the client; "" is the text of the status
	Err     error  // for the log, never for the client; may be nil
}

// Error is the text for the log: the status, the Message and the Err.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("views: ")
	b.WriteString(strconv.Itoa(e.status()))
	if text := http.StatusText(e.status()); text != "" {
		b.WriteString(" " + strings.ToLower(text))
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the sentinel of this status, so that an [*Error]
// made by hand with status 404 is [ErrNotFound].
func (e *Error) Is(target error) bool {
	sentinel, ok := target.(*Error)
	return ok && sentinel.Message == "" && sentinel.Err == nil && sentinel.status() == e.status()
}

func (e *Error) status() int {
	if e.Status < 400 || e.Status > 599 {
		return http.StatusInternalServerError
	}
	return e.Status
}

// StatusOf returns the status that answers err: that of the first [*Error] in its
// tree, 413 for an [*http.MaxBytesError], [StatusClientGone] for [ErrClientGone],
// 200 for nil and 500 for everything else. The errors of a context are 500 too:
// whether the client left is known to the context of the request, not to the
// error, and a statement's own deadline is the site's failure.
func StatusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	if errors.Is(err, ErrClientGone) {
		return StatusClientGone
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.status()
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusInternalServerError
}

// MessageOf returns what the client may read about err: the Message of the first
// [*Error] in its tree, the sentences of a [*BindError], or the text of the
// status. It never returns anything else that the error says.
func MessageOf(err error) string {
	if e, ok := errors.AsType[*BindError](err); ok {
		return e.message()
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Message != "" {
		return e.Message
	}
	return http.StatusText(StatusOf(err))
}

// Or404 turns "there is no such row" into "there is no such page":
// [sql.ErrNoRows] and [fs.ErrNotExist] become [ErrNotFound] around the original,
// nil stays nil, and every other error is returned as it is. Django's
// get_object_or_404.
func Or404(err error) error {
	if errors.Is(err, sql.ErrNoRows) || errors.Is(err, fs.ErrNotExist) {
		return &Error{Status: http.StatusNotFound, Err: err}
	}
	return err
}

package views_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"testing"

	"github.com/goquintet/quintet/views"
)

// Django: handlers.tests.HandlerRequestTests.test_suspiciousop_in_view_returns_400
// and test_bad_request_in_view_returns_400 (HD-006, HD-007).
func TestStatusOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 200},
		{errBroken, 500},
		{views.ErrBadRequest, 400},
		{views.ErrUnauthorized, 401},
		{views.ErrPermission, 403},
		{views.ErrNotFound, 404},
		{views.ErrMethodNotAllowed, 405},
		{views.ErrConflict, 409},
		{views.ErrTooLarge, 413},
		{views.ErrUnsupportedMediaType, 415},
		{views.ErrTooManyRequests, 429},
		{views.ErrUnavailable, 503},
		{fmt.Errorf("poll 7: %w", views.ErrNotFound), 404},
		{errors.Join(errBroken, views.ErrPermission), 403},
		{&views.Error{Status: 422}, 422},
		{&views.Error{}, 500},
		{&views.Error{Status: 200}, 500},
		{&views.Error{Status: 999}, 500},
		{&views.BindError{}, 400},
		{&http.MaxBytesError{Limit: 1}, 413},
		{fmt.Errorf("read: %w", views.ErrClientGone), views.StatusClientGone},
	} {
		if got := views.StatusOf(c.err); got != c.want {
			t.Errorf("StatusOf(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

func TestError_IsTheSentinelOfItsStatus(t *testing.T) {
	t.Parallel()
	own := &views.Error{Status: http.StatusNotFound, Message: "This poll has ended.", Err: errBroken}
	for _, c := range []struct {
		err, target error
		want        bool
	}{
		{own, views.ErrNotFound, true},
		{fmt.Errorf("poll 7: %w", own), views.ErrNotFound, true},
		{own, errBroken, true},
		{own, views.ErrPermission, false},
		{own, own, true},
		{views.ErrNotFound, own, false},
		{&views.BindError{}, views.ErrBadRequest, true},
	} {
		if got := errors.Is(c.err, c.target); got != c.want {
			t.Errorf("errors.Is(%v, %v) = %v", c.err, c.target, got)
		}
	}
}

func TestError_TellsTheLogAllAndTheClientItsMessage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err          error
		log, message string
	}{
		{&views.Error{Status: 404, Message: "No such poll.", Err: errBroken}, "views: 404 not found: No such poll.: the source is broken", "No such poll."},
		{&views.Error{Status: 404, Err: errBroken}, "views: 404 not found: the source is broken", "Not Found"},
		{&views.Error{}, "views: 500 internal server error", "Internal Server Error"},
		{&views.Error{Status: 499}, "views: 499", ""},
		{views.ErrPermission, "views: 403 forbidden", "Forbidden"},
		{errBroken, "the source is broken", "Internal Server Error"},
		{&http.MaxBytesError{Limit: 9}, "http: request body too large", "Request Entity Too Large"},
		{
			fmt.Errorf("sign up: %w", &views.BindError{Fields: []views.FieldError{{"age", "must be a whole number"}, {"name", "must be text"}}}),
			"sign up: views: Bind: age must be a whole number; name must be text", "age must be a whole number; name must be text",
		},
	} {
		if got := c.err.Error(); got != c.log {
			t.Errorf("Error() = %q, want %q", got, c.log)
		}
		if got := views.MessageOf(c.err); got != c.message {
			t.Errorf("MessageOf(%v) = %q, want %q", c.err, got, c.message)
		}
	}
}

func TestOr404(t *testing.T) {
	t.Parallel()
	if err := views.Or404(nil); err != nil {
		t.Errorf("nil became %v", err)
	}
	if err := views.Or404(errBroken); err != errBroken { //nolint:errorlint // the value itself
		t.Errorf("another error became %v", err)
	}
	for _, original := range []error{sql.ErrNoRows, fs.ErrNotExist, fmt.Errorf("poll 7: %w", sql.ErrNoRows), &os.PathError{Err: fs.ErrNotExist}} {
		err := views.Or404(original)
		if !errors.Is(err, views.ErrNotFound) || !errors.Is(err, original) || views.StatusOf(err) != http.StatusNotFound {
			t.Errorf("%v became %v", original, err)
		}
	}
}

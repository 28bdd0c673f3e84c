package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

const waitLonger = "let the other writer end, or wait longer for it"

// failure turns what goose returns into the driver's own error, with the place of
// the statement.
func (s step) failure(ctx context.Context, conn *pinned, err error) *Error {
	e := &Error{App: s.App, Name: s.Name, File: s.file, Err: err}
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		e.Err = partial.Err
	}
	if conn.failed != nil {
		e.Err = conn.failed
		if lines := s.lines(); conn.ran < len(lines) {
			e.Line = lines[conn.ran]
		}
	}
	e.Err = ended(ctx, e.Err)
	return e
}

// ended makes an error the context's as well when that is over. Drivers have words
// of their own for it: a connect whose deadline comes first says "i/o timeout".
func ended(ctx context.Context, err error) error {
	over, cause := ctx.Err(), context.Cause(ctx)
	if deadline, ok := ctx.Deadline(); over == nil && ok && !time.Now().Before(deadline) {
		over, cause = context.DeadlineExceeded, context.DeadlineExceeded // before the context's own timer
	}
	for _, each := range []error{cause, over} {
		if err != nil && each != nil && !errors.Is(err, each) {
			err = fmt.Errorf("%w: %w", each, err)
		}
	}
	return err
}

func (s step) hint(ctx context.Context, conn *pinned, err error) string {
	kept := "nothing of the file was kept"
	if !s.script.atomic {
		kept = "the file runs without a transaction, what came before in it stays"
	}
	switch {
	case ctx.Err() != nil:
		return kept
	case conn.lost:
		return "the connection was lost: see with showmigrations what is applied, then migrate again"
	case busy(err):
		return kept + "; " + waitLonger
	case cut(conn.query):
		return kept + "; if lines inside the statement end with a semicolon, write StatementBegin and StatementEnd around it"
	case !s.script.atomic:
		return kept + ": put it right by hand, then migrate again"
	}
	return kept + ": correct it and migrate again"
}

// cut guesses whether a statement ends too early, at a semicolon inside of it.
func cut(query string) bool {
	if strings.Count(query, "'")%2 == 1 || strings.Count(query, "$$")%2 == 1 {
		return true
	}
	words := strings.Fields(strings.ToLower(strings.TrimSuffix(query, ";")))
	return len(words) > 0 && words[0] == "create" && slices.Contains(words, "begin") && words[len(words)-1] != "end"
}

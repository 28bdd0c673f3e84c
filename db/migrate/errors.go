package migrate

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrUnknownApp reports an app that is not among the sources.
	ErrUnknownApp = errors.New("migrate: unknown app")

	// ErrUnknownMigration reports a target that no file of the app begins with.
	ErrUnknownMigration = errors.New("migrate: unknown migration")

	// ErrAmbiguous reports a target that several files of the app begin with.
	ErrAmbiguous = errors.New("migrate: ambiguous migration")

	// ErrIrreversible reports a migration that cannot be taken back: its file has
	// no Down section, or is gone. Django's IrreversibleError.
	ErrIrreversible = errors.New("migrate: irreversible migration")

	// ErrInconsistentHistory reports a pending migration that is older than an
	// applied one of the same app. Django's InconsistentMigrationHistory.
	ErrInconsistentHistory = errors.New("migrate: inconsistent history")

	// ErrLocked reports that another process was migrating the database for as
	// long as [Options].LockTimeout.
	ErrLocked = errors.New("migrate: another process is migrating")
)

// Error is what is wrong with an app, with one of its files, or with running it.
// It unwraps to one of the sentinels of this package or to the error of the
// driver.
type Error struct {
	App  string // "polls"
	Name string // "0002_choice_votes"; empty when it is about the whole app
	File string // "0002_choice_votes.postgres.sql"; empty when there is none
	Line int    // where the statement begins, counted from 1; 0 when it is about the whole file
	Err  error
	Hint string // what to do now
}

// Error names the app, the file and the line, what is wrong, and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("migrate: ")
	switch {
	case e.File != "" && e.Line > 0:
		fmt.Fprintf(&b, "%s/%s:%d: ", e.App, e.File, e.Line)
	case e.File != "":
		fmt.Fprintf(&b, "%s/%s: ", e.App, e.File)
	case e.Name != "":
		fmt.Fprintf(&b, "%s.%s: ", e.App, e.Name)
	case e.App != "":
		fmt.Fprintf(&b, "app %q: ", e.App)
	}
	b.WriteString(strings.TrimPrefix(e.Err.Error(), "migrate: "))
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap gives what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// also joins a second error to the first one, which stays what it is without one.
func also(err, more error) error {
	if more == nil {
		return err
	}
	return errors.Join(err, more)
}

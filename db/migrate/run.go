package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/goquintet/quintet/signals"
)

// run does what the plan says, between the two signals.
func (m *Migrator) run(ctx context.Context, next plan, progress func(Event)) (Result, error) {
	start := time.Now()
	var steps []step
	err := whenFree(ctx, m.timeout, func() (err error) {
		steps, err = m.look(ctx, next)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	r := &run{Migrator: m, next: next, progress: progress}
	backwards := len(steps) > 0 && steps[0].backwards
	err = m.started(ctx, steps, backwards)
	if err == nil && len(steps) > 0 {
		err = ended(ctx, hold(ctx, m.db, func(s *session) error { return r.locked(ctx, s) }))
	}
	r.result.Duration = time.Since(start)
	return r.result, also(err, m.finished(ctx, r.result, backwards, err))
}

// look plans with what is applied now. Nothing is held or written.
func (m *Migrator) look(ctx context.Context, next plan) ([]step, error) {
	applied, err := m.applied(ctx)
	if err != nil {
		return nil, err
	}
	return next(applied)
}

func (m *Migrator) applied(ctx context.Context) (records, error) {
	h, err := findHistory(ctx, m.db, m.dialect)
	if err != nil {
		return nil, ended(ctx, err)
	}
	applied, err := h.applied(ctx, m.db)
	return applied, ended(ctx, err)
}

func (m *Migrator) started(ctx context.Context, steps []step, backwards bool) error {
	if m.bus == nil {
		return nil
	}
	event := signals.MigrateStarted{Alias: m.alias, Backwards: backwards}
	for _, step := range steps {
		event.Pending = append(event.Pending, step.String())
	}
	if err := m.bus.MigrateStarted.Send(ctx, event); err != nil {
		return fmt.Errorf("migrate: nothing was run: %w", err)
	}
	return nil
}

// finished is sent for each started, also to receivers of a run that was cancelled.
func (m *Migrator) finished(ctx context.Context, result Result, backwards bool, err error) error {
	if m.bus == nil {
		return nil
	}
	event := signals.MigrateFinished{Alias: m.alias, Backwards: backwards, Duration: result.Duration, Err: err}
	done := result.Applied
	if backwards {
		done = result.Unapplied
	}
	for _, each := range done {
		event.Applied = append(event.Applied, each.String())
	}
	if err := m.bus.MigrateFinished.Send(context.WithoutCancel(ctx), event); err != nil {
		return fmt.Errorf("migrate: after the run: %w", err)
	}
	return nil
}

// run is one Up or To that holds a connection.
type run struct {
	*Migrator
	next     plan
	progress func(Event)
	result   Result
	current  *step // that has begun and not ended
	since    time.Time
}

func (r *run) locked(ctx context.Context, s *session) (err error) {
	unlock, err := s.lock(ctx, r.dialect, r.timeout)
	if err != nil {
		return err
	}
	defer func() {
		if s.conn.lost {
			return // and the lock with it
		}
		if unlockErr := unlock(); err == nil {
			err = unlockErr
		}
	}()
	var h *history
	err = whenFree(ctx, r.timeout, func() (err error) {
		h, err = findHistory(ctx, s.db, r.dialect)
		return err
	})
	if err != nil {
		return err
	}
	return r.steps(ctx, s, h)
}

// steps runs one migration after the other and plans again before each: others
// may have done it, or undone it, before the lock was ours.
func (r *run) steps(ctx context.Context, s *session, h *history) error {
	done := make(map[step]bool)
	turn := newTurn(r.timeout)
	for {
		var applied records
		err := whenFree(ctx, r.timeout, func() (err error) {
			applied, err = h.applied(ctx, s.db)
			return err
		})
		if err != nil {
			return err
		}
		steps, err := r.next(applied)
		if err != nil {
			return err
		}
		if r.current != nil && applied.has(r.current.Migration) != r.current.backwards {
			r.end(nil) // somebody else did it
		}
		if len(steps) == 0 {
			return nil
		}
		next := steps[0]
		if done[next] {
			return &Error{App: next.App, Name: next.Name, Err: errors.New("another process undoes what this one does"), Hint: "let one of them migrate"}
		}
		r.begin(next)
		err = r.step(ctx, s, h, next, applied)
		switch {
		case err == nil:
			done[next] = true
			turn = newTurn(r.timeout)
			r.end(nil)
			r.result.add(next)
			continue
		case r.moved(ctx, s, h, next, applied):
			continue
		case busy(err) && next.script.atomic && !turn.over() && turn.wait(ctx) == nil:
			continue
		}
		r.end(err)
		return err
	}
}

// step runs one migration with goose and leaves no transaction behind.
func (r *run) step(ctx context.Context, s *session, h *history, next step, applied records) error {
	if err := whenFree(ctx, r.timeout, func() error { return h.create(ctx, s.db) }); err != nil {
		e := &Error{App: next.App, Name: next.Name, Err: err, Hint: "the user of the database must be allowed to create it"}
		if busy(err) {
			e.Hint = waitLonger
		}
		return e
	}
	provider, err := goose.NewProvider(goose.DialectCustom, s.db, snapshot{next.file: next.text},
		goose.WithStore(&store{h, next.migration, applied.names(next.App)}),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return &Error{App: next.App, Name: next.Name, File: next.file, Err: err}
	}
	s.conn.watch()
	if _, err = provider.ApplyVersion(ctx, next.version, !next.backwards); err == nil {
		return nil
	}
	failure := next.failure(ctx, s.conn, err)
	err = s.settle(ctx)
	failure.Hint = next.hint(ctx, s.conn, failure.Err) // settling shows whether the connection is lost
	return also(failure, err)
}

// moved tells whether a step failed because somebody else has changed the history
// meanwhile, which is no failure. SQLite shows it in any error: the file's table
// is there already, or its rows are.
func (r *run) moved(ctx context.Context, s *session, h *history, next step, planned records) bool {
	var now records
	err := whenFree(ctx, r.timeout, func() (err error) {
		now, err = h.applied(ctx, s.db)
		return err
	})
	if err != nil {
		return false // the error of the step says more
	}
	return !maps.Equal(now.names(next.App), planned.names(next.App))
}

// begin and end tell the progress of the migration that is running. A step that
// is tried again has begun already; one that others have put something before
// begins again after that.
func (r *run) begin(next step) {
	if r.current != nil && *r.current == next {
		return
	}
	r.current, r.since = &next, time.Now()
	r.tell(Event{App: next.App, Name: next.Name, Backwards: next.backwards})
}

func (r *run) end(err error) {
	event := Event{App: r.current.App, Name: r.current.Name, Backwards: r.current.backwards, Done: true, Duration: time.Since(r.since), Err: err}
	r.current = nil
	r.tell(event)
}

func (r *run) tell(event Event) {
	if r.progress != nil {
		r.progress(event)
	}
}

func (r *Result) add(done step) {
	if done.backwards {
		r.Unapplied = append(r.Unapplied, done.Migration)
	} else {
		r.Applied = append(r.Applied, done.Migration)
	}
}

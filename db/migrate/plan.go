package migrate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// step is one migration to apply, or to take back.
type step struct {
	*migration
	backwards bool
}

// lines are those of the statements that the step runs.
func (s step) lines() []int {
	if s.backwards {
		return s.script.down
	}
	return s.script.up
}

// plan says what is left to do, given what is applied. It is asked again before
// each step, because others may have migrated meanwhile.
type plan func(records) ([]step, error)

// upwards leads every app to its newest migration.
func (m *Migrator) upwards(applied records) ([]step, error) {
	if err := m.consistent(applied); err != nil {
		return nil, err
	}
	var steps []step
	for _, a := range m.apps {
		steps = append(steps, a.forwards(applied, "")...)
	}
	return steps, nil
}

// towards leads one app to the target: up to it when it is pending, else down to
// it.
func (m *Migrator) towards(appName, target string) (plan, error) {
	a, err := m.app(appName)
	if err != nil {
		return nil, err
	}
	last := ""
	if target != "" && target != Zero {
		found, err := a.resolve(target)
		if err != nil {
			return nil, err
		}
		last = found.Name
	}
	return func(applied records) ([]step, error) {
		if target == Zero || applied.has(Migration{appName, last}) {
			return a.backwards(applied, last)
		}
		if err := m.consistent(applied); err != nil {
			return nil, err
		}
		return a.forwards(applied, last), nil
	}, nil
}

// forwards lists what is pending up to the migration last; "" is the newest.
func (a *app) forwards(applied records, last string) []step {
	var steps []step
	for _, m := range a.migrations {
		if !applied.has(m.Migration) {
			steps = append(steps, step{migration: m})
		}
		if m.Name == last {
			break
		}
	}
	return steps
}

// backwards lists what is applied after the migration last, the newest first; ""
// is before the first.
func (a *app) backwards(applied records, last string) ([]step, error) {
	var steps []step
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(applied.names(a.name)))) {
		if name <= last {
			break
		}
		m := a.find(name)
		if m == nil {
			return nil, &Error{App: a.name, Name: name, Err: fmt.Errorf("%w: its file is gone", ErrIrreversible),
				Hint: "bring the file back to take the migration back"}
		}
		if !m.script.reversible {
			return nil, m.irreversible()
		}
		steps = append(steps, step{migration: m, backwards: true})
	}
	return steps, nil
}

// irreversible says why a migration cannot be taken back that has a file.
func (m *migration) irreversible() error {
	return &Error{App: m.App, Name: m.Name, File: m.file, Err: fmt.Errorf("%w: it has no Down section", ErrIrreversible),
		Hint: "write a line -- +goose Down and what takes the change back; with nothing below it there is nothing to take back"}
}

// consistent refuses pending migrations that are older than applied ones, and
// those that are applied under another name.
func (m *Migrator) consistent(applied records) error {
	for _, a := range m.apps {
		names := applied.names(a.name)
		var pending *migration
		for _, each := range a.migrations {
			switch {
			case !names[each.Name]:
				if old := a.formerly(each, names); old != "" {
					return each.inconsistent(fmt.Sprintf("with its number %s is applied, whose file is gone", old),
						fmt.Sprintf("rename the file back, or correct the name in the table %s", table))
				}
				pending = cmp.Or(pending, each)
			case pending != nil:
				return pending.inconsistent(fmt.Sprintf("the newer %s is applied", each.Name),
					"give the file a number after the newest one")
			}
		}
	}
	return nil
}

func (m *migration) inconsistent(why, hint string) error {
	return &Error{App: m.App, Name: m.Name, File: m.file, Err: fmt.Errorf("%w: it is pending, and %s", ErrInconsistentHistory, why), Hint: hint}
}

// formerly returns the applied name that has the number of m and no file.
func (a *app) formerly(m *migration, names map[string]bool) string {
	number := m.Name[:len("0000_")]
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if strings.HasPrefix(name, number) && a.find(name) == nil {
			return name
		}
	}
	return ""
}

// app finds a source by its name.
func (m *Migrator) app(name string) (*app, error) {
	var names []string
	for _, a := range m.apps {
		if a.name == name {
			return a, nil
		}
		names = append(names, a.name)
	}
	return nil, &Error{App: name, Err: ErrUnknownApp, Hint: choices(name, "apps", names)}
}

// resolve finds a migration by its name or the beginning of it.
func (a *app) resolve(target string) (*migration, error) {
	if m := a.find(target); m != nil {
		return m, nil
	}
	var names, matching []string
	var found *migration
	for _, m := range a.migrations {
		names = append(names, m.Name)
		if strings.HasPrefix(m.Name, target) {
			matching = append(matching, m.Name)
			found = m
		}
	}
	switch len(matching) {
	case 0:
		return nil, &Error{App: a.name, Name: target, Err: ErrUnknownMigration, Hint: choices(target, "migrations", names)}
	case 1:
		return found, nil
	}
	return nil, &Error{App: a.name, Name: target, Err: fmt.Errorf("%w: %s begin so", ErrAmbiguous, strings.Join(matching, ", ")),
		Hint: "write more of the name"}
}

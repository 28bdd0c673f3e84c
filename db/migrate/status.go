package migrate

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
)

// Status is one migration and whether it is applied: a line of showmigrations.
type Status struct {
	App     string
	Name    string
	Applied *time.Time // in UTC; nil: pending
	Missing bool       // applied, but there is no file, or no such app, any more
}

// Status lists the migrations of every app, in the order of the sources and by
// name within an app, and after them the applied ones of apps that are no source.
// It only reads: without the table everything is pending, and a run of somebody
// else is not waited for.
func (m *Migrator) Status(ctx context.Context) ([]Status, error) {
	applied, err := m.applied(ctx)
	if err != nil {
		return nil, err
	}
	var all []Status
	for _, a := range m.apps {
		names := applied.names(a.name)
		for _, each := range a.migrations {
			names[each.Name] = true
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			status := Status{App: a.name, Name: name, Missing: a.find(name) == nil}
			if moment, ok := applied[Migration{a.name, name}]; ok {
				status.Applied = &moment
				delete(applied, Migration{a.name, name})
			}
			all = append(all, status)
		}
	}
	byName := func(a, b Migration) int { return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Name, b.Name)) }
	for _, left := range slices.SortedFunc(maps.Keys(applied), byName) {
		moment := applied[left]
		all = append(all, Status{App: left.App, Name: left.Name, Applied: &moment, Missing: true})
	}
	return all, nil
}

// Pending lists what [Migrator.Up] would apply, in its order; nil when the
// database is up to date. Like Up it returns [ErrInconsistentHistory]; like
// [Migrator.Status] it only reads.
func (m *Migrator) Pending(ctx context.Context) ([]Migration, error) {
	steps, err := m.look(ctx, m.upwards)
	if err != nil {
		return nil, err
	}
	var pending []Migration
	for _, step := range steps {
		pending = append(pending, step.Migration)
	}
	return pending, nil
}

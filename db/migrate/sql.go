package migrate

// SQL is what applying a migration runs, or taking it back.
type SQL struct {
	Migration
	File       string   // "0002_choice_votes.postgres.sql"
	Atomic     bool     // all of it runs in one transaction
	Statements []string // in this order, as the driver gets them; may be empty
}

// SQL returns what [Migrator.To] would run for one migration, whether it is applied
// or not: Django's sqlmigrate. The target is a name or the beginning of it that fits
// one only. Errors are those of To. It does not use the database.
func (m *Migrator) SQL(app, target string, backwards bool) (SQL, error) {
	a, err := m.app(app)
	if err != nil {
		return SQL{}, err
	}
	found, err := a.resolve(target)
	if err != nil {
		return SQL{}, err
	}
	if backwards && !found.script.reversible {
		return SQL{}, found.irreversible()
	}
	paper, err := transcribe(found.file, found.text, found.version, !backwards)
	if err != nil { // New has read it before
		return SQL{}, &Error{App: app, Name: found.Name, File: found.file, Err: err}
	}
	return SQL{Migration: found.Migration, File: found.file, Atomic: found.script.atomic, Statements: paper.statements}, nil
}

// Names returns the names of an app's migrations, in their order; none for an app
// that is not among the sources.
func (m *Migrator) Names(app string) (names []string) {
	for _, a := range m.apps {
		if a.name != app {
			continue
		}
		for _, migration := range a.migrations {
			names = append(names, migration.Name)
		}
	}
	return names
}

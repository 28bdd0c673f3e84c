package live

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goquintet/quintet/db"
)

// unexplainedError is why a statement has no plan.
type unexplainedError struct{ problem string }

func (e *unexplainedError) Error() string { return e.problem }

// isSelect reports whether the text is one SELECT, and nothing behind it that EXPLAIN
// would not stop from being run.
func isSelect(text string) bool {
	if strings.Contains(strings.TrimRight(text, "; \t\r\n"), ";") {
		return false
	}
	text = strings.TrimLeft(text, " \t\r\n(")
	const word = "SELECT"
	return len(text) > len(word) && strings.EqualFold(text[:len(word)], word) && strings.ContainsAny(text[len(word):len(word)+1], " \t\r\n*(")
}

// explain asks the database how it would run a statement of a record. Values are not
// kept, so that the plan is the general one. ctx is in a scope.
func (rec *Recorder) explain(ctx context.Context, id int64, n int) ([]string, error) {
	r := rec.find(id)
	if r == nil {
		return nil, &unexplainedError{"this request is not kept any more"}
	}
	text, alias, ok := r.statement(n)
	if !ok {
		return nil, &unexplainedError{"this statement is not kept any more"}
	}
	if !isSelect(text) {
		return nil, &unexplainedError{"only SELECT statements are explained"}
	}
	if len(text) >= mostText {
		return nil, &unexplainedError{"the statement is too long to be kept, and its beginning cannot be explained"}
	}
	settings, _ := rec.connections.Settings(alias)
	switch settings.Engine {
	case "postgres":
		return explainPostgres(ctx, alias, text)
	case "sqlite":
		return explainSQLite(ctx, alias, text)
	}
	return nil, &unexplainedError{"the engine " + settings.Engine + " is not known here"}
}

func (r *Record) statement(n int) (text, alias string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n < 0 || n >= len(r.statements) {
		return "", "", false
	}
	s := &r.statements[n]
	return s.clear(), r.holds[s.hold].alias, true
}

// Versions of PostgreSQL: one that explains without values, and one that can be made to.
const (
	genericPlan     = 160000 // EXPLAIN (GENERIC_PLAN)
	forcedGenerally = 120000 // plan_cache_mode
)

func explainPostgres(ctx context.Context, alias, text string) ([]string, error) {
	var version int
	if err := db.Using(ctx, alias).NewRaw("SELECT current_setting('server_version_num')::int").Scan(ctx, &version); err != nil {
		return nil, err
	}
	text, n := placeholders(text, func(n int) string { return "$" + strconv.Itoa(n) })
	switch {
	case version < forcedGenerally:
		return nil, &unexplainedError{fmt.Sprintf(
			"PostgreSQL %d explains no statement without its values, and these are not kept; that came with 12. Say EXPLAIN in psql, with values of yours", version/10000)}
	case version < genericPlan:
		plan, err := explainPrepared(ctx, alias, text, n)
		return plan, general(err)
	}
	rows, err := db.Using(ctx, alias).QueryContext(ctx, "EXPLAIN (GENERIC_PLAN) "+text)
	if err != nil {
		return nil, general(err)
	}
	plan, err := lines(rows)
	return plan, general(err)
}

// explainPrepared explains the general plan of a prepared statement, for which its values
// are NULL. What it leaves on the session it takes away, also when it fails.
func explainPrepared(ctx context.Context, alias, text string, n int) (plan []string, err error) {
	const name = "quintet_explain"
	execute := "EXPLAIN EXECUTE " + name
	if n > 0 {
		execute += "(NULL" + strings.Repeat(", NULL", n-1) + ")"
	}
	err = db.AtomicWith(ctx, db.AtomicOptions{Alias: alias, ReadOnly: true}, func(ctx context.Context) error {
		conn := db.Using(ctx, alias)
		for _, statement := range []string{"SET LOCAL plan_cache_mode = force_generic_plan", "PREPARE " + name + " AS " + text} {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		failed := db.AtomicWith(ctx, db.AtomicOptions{Alias: alias}, func(ctx context.Context) error {
			rows, err := conn.QueryContext(ctx, execute)
			if err != nil {
				return err
			}
			plan, err = lines(rows)
			return err
		})
		_, err := conn.ExecContext(ctx, "DEALLOCATE "+name)
		return errors.Join(failed, err)
	})
	return plan, err
}

// explainSQLite binds NULL to each placeholder: the plan does not look at it.
func explainSQLite(ctx context.Context, alias, text string) (plan []string, err error) {
	text, n := placeholders(text, func(int) string { return "?" })
	statement, err := db.Using(ctx, alias).PrepareContext(ctx, "EXPLAIN QUERY PLAN "+text)
	if err != nil {
		return nil, general(err)
	}
	defer func() { err = errors.Join(err, statement.Close()) }()
	rows, err := statement.QueryContext(ctx, make([]any, n)...)
	if err != nil {
		return nil, general(err)
	}
	plan, err = lines(rows)
	return plan, general(err)
}

// general tells what the database says of a statement without values.
func general(err error) error {
	if err == nil || errors.Is(err, db.ErrUnavailable) || !errors.Is(err, db.ErrDatabase) {
		return err
	}
	return &unexplainedError{"the database does not explain it without its values: " + err.Error()}
}

// placeholders writes those of an engine, and counts them.
func placeholders(text string, write func(n int) string) (string, int) {
	var b strings.Builder
	quote, n := byte(0), 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
			b.WriteByte(c)
		case c == '"', c == '`':
			quote = c
			b.WriteByte(c)
		case c == '?':
			n++
			b.WriteString(write(n))
			if strings.HasPrefix(text[i:], "?...") {
				i += len("...")
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), n
}

// lines returns the last column of each row, which is the plan's text on both engines,
// and closes the rows.
func lines(rows *sql.Rows) (plan []string, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(any)
	}
	for rows.Next() {
		if err := rows.Scan(values...); err != nil {
			return nil, err
		}
		plan = append(plan, fmt.Sprint(*(values[len(values)-1].(*any))))
	}
	return plan, rows.Err()
}

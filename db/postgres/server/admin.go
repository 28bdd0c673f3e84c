package server

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// applicationName tells the connections of this package from those of a test.
const applicationName = "quintet-server"

// connect opens a connection that no PG* variable of the environment bends.
func (s *Server) connect(ctx context.Context, database string) (*pgconn.PgConn, error) {
	cfg, err := pgconn.ParseConfig(fmt.Sprintf(
		"host=%s port=%d user=%s sslmode=disable sslrootcert='' sslcert='' sslkey='' passfile='' connect_timeout=0 target_session_attrs=any",
		s.Host, s.Port, s.User))
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	cfg.Database = database
	cfg.RuntimeParams = map[string]string{"application_name": applicationName}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return conn, nil
}

// Exec runs each text on a new connection to the database, as superuser. A text
// may hold several statements, which are then one transaction. The first error
// ends it.
func (s *Server) Exec(ctx context.Context, database string, sql ...string) error {
	conn, err := s.connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, text := range sql {
		if err := conn.Exec(ctx, text).Close(); err != nil {
			return fmt.Errorf("server: %s: %w", text, err)
		}
	}
	return nil
}

// Query runs one statement on a new connection to the database, as superuser, with
// args for $1, $2 in PostgreSQL's text form, and returns its rows as text. NULL
// is empty.
func (s *Server) Query(ctx context.Context, database, sql string, args ...string) ([][]string, error) {
	conn, err := s.connect(ctx, database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = []byte(arg)
	}
	result := conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, fmt.Errorf("server: %s: %w", sql, result.Err)
	}
	rows := make([][]string, len(result.Rows))
	for i, row := range result.Rows {
		rows[i] = make([]string, len(row))
		for j, value := range row {
			rows[i][j] = string(value)
		}
	}
	return rows, nil
}

// CreateDatabase makes a database, as a copy of the template when that is not
// empty. Nobody may be connected to the template.
func (s *Server) CreateDatabase(ctx context.Context, name, template string) error {
	sql := "CREATE DATABASE " + quote(name)
	if template != "" {
		sql += " TEMPLATE " + quote(template)
		version, err := s.Query(ctx, "postgres", "show server_version_num")
		if err != nil {
			return err
		}
		// for small databases a copy of the files is faster than one through the log
		if n, err := strconv.Atoi(version[0][0]); err == nil && n >= 15_00_00 {
			sql += " STRATEGY FILE_COPY"
		}
	}
	return s.Exec(ctx, "postgres", sql)
}

// DropDatabase removes a database and ends the sessions that use it. That there is
// none is no error.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	return s.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+quote(name)+" WITH (FORCE)")
}

// Backends returns the process numbers of the sessions whose database or
// application_name is name, oldest first, without those of this package.
func (s *Server) Backends(ctx context.Context, name string) ([]int, error) {
	rows, err := s.Query(ctx, "postgres", `SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND (datname = $1 OR application_name = $1) AND application_name <> $2
		ORDER BY backend_start, pid`, name, applicationName)
	if err != nil {
		return nil, err
	}
	pids := make([]int, len(rows))
	for i, row := range rows {
		if pids[i], err = strconv.Atoi(row[0]); err != nil {
			return nil, fmt.Errorf("server: pg_stat_activity: %w", err)
		}
	}
	return pids, nil
}

// Terminate ends the sessions with these process numbers, as pg_terminate_backend
// does, and returns when they are gone.
func (s *Server) Terminate(ctx context.Context, pids ...int) error {
	for _, pid := range pids {
		rows, err := s.Query(ctx, "postgres", "SELECT pg_terminate_backend($1, 5000)", strconv.Itoa(pid))
		if err != nil {
			return err
		}
		if rows[0][0] != "t" {
			return fmt.Errorf("server: session %d did not end in 5s, or there is none", pid)
		}
	}
	return nil
}

func quote(identifier string) string {
	return `"` + strings.ReplaceAll(identifier, `"`, `""`) + `"`
}

package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Standby restarts the server as a standby that follows nobody: it recovers until
// [Server.Promote]. A hot one answers, and refuses to write. Another one refuses every
// connection with SQLSTATE 57P03, as a server does that starts up or recovers from a
// crash. It returns when the server is so.
//
// The server must have been started with wal_level replica in [Options.Settings].
func (s *Server) Standby(ctx context.Context, hot bool) error {
	if err := s.Down(ctx, Fast); err != nil {
		return err
	}
	signal := filepath.Join(s.data(), "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		return fmt.Errorf("server: standby: %w", err)
	}
	if err := s.account.own(signal); err != nil {
		return fmt.Errorf("server: standby: %w", err)
	}
	if hot {
		return s.up(ctx, s.answers, "hot_standby=on")
	}
	return s.up(ctx, s.recovers, "hot_standby=off")
}

// Promote ends the recovery of a [Server.Standby], on Unix. It returns when the server accepts
// writes.
func (s *Server) Promote(ctx context.Context) error {
	if s.folder == nil {
		return fmt.Errorf("server: promote: %w", ErrBorrowed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil || s.process.over() {
		return errors.New("server: promote: it is down")
	}
	file := filepath.Join(s.data(), "promote")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return fmt.Errorf("server: promote: %w", err)
	}
	if err := s.account.own(file); err != nil {
		return fmt.Errorf("server: promote: %w", err)
	}
	s.process.signal(promotion)
	return s.await(ctx, s.process, func(ctx context.Context) error {
		rows, err := s.Query(ctx, "postgres", "select pg_is_in_recovery()")
		if err == nil && rows[0][0] != "f" {
			err = errors.New("it still recovers")
		}
		return err
	})
}

// recovers is nil when the server refuses connections because it recovers.
func (s *Server) recovers(ctx context.Context) error {
	conn, err := s.connect(ctx, "postgres")
	if err == nil {
		return errors.Join(errors.New("it does not refuse connections"), conn.Close(ctx))
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "57P03" {
		return nil
	}
	return err
}

// answers is nil when the server answers, and is this one.
func (s *Server) answers(ctx context.Context) error {
	rows, err := s.Query(ctx, "postgres", "show data_directory")
	if err == nil && rows[0][0] != s.data() {
		err = errors.New("another server has its port")
	}
	return err
}

// await tries until the server is as it should be.
func (s *Server) await(ctx context.Context, p *process, is func(context.Context) error) error {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := is(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("postgres did not start: %w", p.failure())
		case <-ctx.Done():
			return fmt.Errorf("postgres was not ready in time: %w", errors.Join(ctx.Err(), err))
		case <-again.C:
		}
	}
}

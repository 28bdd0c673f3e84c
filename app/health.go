package app

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/goquintet/quintet/db"
)

const (
	// healthLimit is how long a database may take to answer, each time it is asked.
	healthLimit = time.Second
	// healthAge is how long an answer serves whoever else asks, so that asking often
	// costs the databases nothing.
	healthAge = time.Second
)

// Health is whether a process can do its work: the answer to GET /ready on its admin
// socket, with status 200 when it is ready, and 503 otherwise. The tags are the keys of
// the JSON.
type Health struct {
	Ready     bool             `json:"ready"`
	Stopping  bool             `json:"stopping,omitempty"` // it was told to end, and takes nothing new
	Databases []DatabaseHealth `json:"databases"`          // in alphabetical order of their aliases
}

// DatabaseHealth is whether one database answers.
type DatabaseHealth struct {
	Alias   string    `json:"alias"`
	Working bool      `json:"working"`
	Since   time.Time `json:"since"`           // when somebody who asked first heard so
	Error   string    `json:"error,omitempty"` // why it does not; it may name hosts and users, and no password
}

// Health asks every database for an answer. Each has a second to lend one of its
// connections, and when all of them are busy, another to answer on a new one: a pool that
// is merely full is no reason to be taken out of service. Who asks again within a second
// gets the same answer. It may be called concurrently.
func (s *Site) Health(ctx context.Context) Health {
	h := Health{Ready: true, Stopping: s.requests.draining.Load(), Databases: s.health.ask(ctx, s)}
	for _, d := range h.Databases {
		h.Ready = h.Ready && d.Working
	}
	h.Ready = h.Ready && !h.Stopping
	return h
}

// health remembers what the databases have answered.
type health struct {
	mu      sync.Mutex // guards the rest, and is held while somebody asks
	asked   time.Time
	answers []DatabaseHealth
}

func (h *health) ask(ctx context.Context, s *Site) []DatabaseHealth {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.answers != nil && time.Since(h.asked) < healthAge {
		return h.answers
	}
	aliases := s.connections.Aliases()
	answers, errs := make([]DatabaseHealth, len(aliases)), make([]error, len(aliases))
	var all sync.WaitGroup
	for i, alias := range aliases {
		// Who asked may leave, and another one wants to know as well.
		all.Go(func() { errs[i] = s.answers(context.WithoutCancel(ctx), alias) })
	}
	all.Wait()
	h.asked = time.Now()
	for i, alias := range aliases {
		answers[i] = DatabaseHealth{Alias: alias, Working: errs[i] == nil, Since: h.asked}
		if errs[i] != nil {
			answers[i].Error = errs[i].Error()
		}
		switch {
		case h.answers != nil && h.answers[i].Working == answers[i].Working:
			answers[i].Since = h.answers[i].Since
		case errs[i] != nil:
			s.logger.WarnContext(ctx, "app: a database does not answer", keyAlias, alias, keyErr, errs[i])
		case h.answers != nil:
			s.logger.InfoContext(ctx, "app: the database answers again", keyAlias, alias, "away", h.asked.Sub(h.answers[i].Since).Round(time.Millisecond))
		}
	}
	h.answers = answers
	return answers
}

// answers asks one database.
func (s *Site) answers(ctx context.Context, alias string) error {
	err := s.connections.Run(ctx, "ready", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, healthLimit)
		defer cancel()
		return answered(ctx, db.Using(ctx, alias).QueryRowContext)
	})
	refused, ok := errors.AsType[*db.AcquireError](err)
	if !ok || refused.Stats.InUse < refused.Stats.Max {
		return err
	}
	// Everything is lent to others: that says nothing about the server.
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	own, err := s.connections.Dedicated(ctx, alias, "ready")
	if errors.Is(err, db.ErrNoDedicated) {
		return nil // there is no server, and what is there is at work
	}
	if err != nil {
		return err
	}
	return errors.Join(answered(ctx, own.QueryRowContext), own.Close())
}

func answered(ctx context.Context, query func(ctx context.Context, query string, args ...any) *sql.Row) error {
	var one int
	err := query(ctx, "SELECT 1").Scan(&one)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("no answer within %s: %w", healthLimit, err)
	}
	return err
}

// live answers GET /live: who hears this knows that the process runs.
func (a *adminListener) live(w http.ResponseWriter, _ *http.Request) {
	a.say(w, http.StatusOK, map[string]bool{"live": true})
}

// ready answers GET /ready.
func (a *adminListener) ready(w http.ResponseWriter, r *http.Request) {
	health, status := a.site.Health(r.Context()), http.StatusOK
	if !health.Ready {
		status = http.StatusServiceUnavailable
	}
	a.say(w, status, health)
}

// say answers in JSON.
func (a *adminListener) say(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(value); err != nil {
		a.site.logger.Debug("app: who asked on the admin socket has left", keyErr, err)
	}
}

package soaktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goquintet/quintet/db"
)

// atRest looks at what is held when nobody asks any more.
func (s *Soak) atRest() {
	s.Quiet()
	if s.srv != nil {
		rows, err := s.srv.Query(s.T.Context(), "postgres", `SELECT count(*) FILTER (WHERE state <> 'idle'),
			(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') FROM pg_stat_activity WHERE datname = 'soak'`)
		if err != nil || rows[0][0] != "0" || rows[0][1] != "0" {
			s.T.Errorf("on the server sessions that are not idle and advisory locks are left: %v, %v", rows, err)
		}
	}
	s.books()
	if s.AtRest != nil {
		s.AtRest()
	}
}

// Quiet waits until nobody asks for anything, and nothing is held.
func (s *Soak) Quiet() {
	s.T.Helper()
	quiet := func() bool {
		for _, alias := range s.Site.Connections().Aliases() {
			stats := s.Site.Connections().Stats(alias)
			if stats.InUse+stats.Waiting+stats.Writers+stats.Connecting+stats.Closing != 0 {
				return false
			}
		}
		return s.Site.Stats().Requests == 0
	}
	waited := time.After(time.Minute)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !quiet() {
		select {
		case <-waited:
			s.T.Fatalf("a minute after the last request: %+v, holders %v", s.Site.Connections().Stats(db.DefaultAlias), s.Site.Connections().Holders())
		case <-again.C:
		}
	}
}

// books compares what is stored with what clients were told.
func (s *Soak) books() {
	s.T.Helper()
	type transfer struct {
		ID                     string
		Source, Target, Amount int64
	}
	var transfers []transfer
	balances := make([]int64, accountCount)
	if err := s.Site.Connections().Run(s.T.Context(), "books", func(ctx context.Context) error {
		if err := db.From(ctx).NewSelect().Table("transfers").Column("*").Scan(ctx, &transfers); err != nil {
			return err
		}
		return db.From(ctx).NewSelect().Table("accounts").Column("balance").Order("id").Scan(ctx, &balances)
	}); err != nil {
		s.T.Fatal(err)
	}
	stored := make(map[string]bool)
	for _, one := range transfers {
		stored[one.ID] = true
		balances[one.Source] += one.Amount
		balances[one.Target] -= one.Amount
	}
	for account, balance := range balances {
		if balance != startBalance {
			s.T.Errorf("account %d is off by %d", account, balance-startBalance)
		}
	}
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	for _, told := range []map[string]bool{s.clients.moved, s.views.committed} {
		for id := range told {
			if !stored[id] {
				s.T.Errorf("transfer %s was told to be there, and is not", id)
			}
		}
	}
	for _, f := range s.clients.failed {
		if f.name == "transfer" && stored[f.id] && !errors.Is(s.views.errs[f.id], db.ErrCommitUnknown) {
			s.T.Errorf("transfer %s failed with %v, and is there", f.id, s.views.errs[f.id])
		}
	}
}

// judge says what failed and why, and whether it may have.
func (s *Soak) judge() {
	s.T.Helper()
	c := s.clients
	for _, w := range c.wrong {
		s.T.Errorf("%s was answered wrong: %s", w.path, w.wrong)
	}
	causes, kinds, most := make(map[string]int), make(map[string]int), 0
	for _, f := range s.faults {
		kinds[f.what]++
		most += f.hits
	}
	for _, f := range c.failed {
		err := s.views.err(f.id)
		cause, _, _ := strings.Cut(fmt.Sprint(err), " (SQLSTATE")
		causes[f.name+": "+cause]++
		hit := slices.ContainsFunc(s.faults, func(fault fault) bool { return !f.began.After(fault.ended) && !f.ended.Before(fault.began) })
		switch {
		case !errors.Is(err, db.ErrConnectionLost) && !errors.Is(err, db.ErrCommitUnknown):
			s.T.Errorf("%s %s: its client saw %q, its cause is %v", f.name, f.id, f.failed, err)
		case !hit:
			s.T.Errorf("%s %s was not under way at any fault: %v", f.name, f.id, err)
		}
	}
	if len(c.failed) > most {
		s.T.Errorf("%d requests failed, want at most %d: one for a kill, %d for a restart", len(c.failed), most, connections)
	}
	stats := s.Site.Connections().Stats(db.DefaultAlias)
	s.T.Logf("%d asked, %d answered, %d left by their clients, %d failed; the slowest took %s; faults: %v", c.asked.Load(), c.answered.Load(), c.left.Load(),
		len(c.failed), c.slowest.Round(time.Millisecond), kinds)
	s.T.Logf("%d leases, %d connections opened, %d found dead, %d statements cancelled, %d things left open, %d quarantined, %d acquires refused",
		stats.Leases, stats.Opened, stats.Dead, stats.Canceled, stats.Leaked, stats.Quarantined, stats.Refused)
	for _, cause := range slices.Sorted(maps.Keys(causes)) {
		s.T.Logf("%d failed: %s", causes[cause], cause)
	}
	if c.answered.Load() == 0 || c.left.Load() == 0 {
		s.T.Error("nobody was answered, or nobody left")
	}
	if s.srv != nil {
		if pids, err := s.srv.Backends(s.T.Context(), "soak"); err != nil || len(pids) > 0 {
			s.T.Errorf("sessions are left on the server: %v, %v", pids, err)
		}
	}
	if stats.Open != 0 {
		s.T.Errorf("%d connections are open in the end", stats.Open)
	}
}

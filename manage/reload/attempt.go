package reload

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// learn asks Go where the sources are, in the background.
func (s *supervisor) learn(ctx context.Context, layouts chan<- layout) {
	later := s.watcher != nil
	s.processes.Go(func() {
		l, err := s.Program.layout(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && later:
			return // go.mod is wrong, which the build says as well; what is known serves on
		case err != nil:
			l.roots = []string{s.Program.Dir}
		}
		for _, path := range s.Settings {
			l.extras[path] = true
		}
		select {
		case layouts <- l:
		case <-ctx.Done():
		}
	})
}

// asksGo reports whether a save may have moved the sources.
func (s *supervisor) asksGo(saved save) bool {
	for path := range saved.files {
		switch filepath.Ext(path) {
		case ".mod", ".work":
			return true
		case ".go":
			if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), "//go:embed ") {
				return true
			}
		}
	}
	return false
}

// arrange watches a layout. What has changed before the first one was watched is
// newer than the program.
func (s *supervisor) arrange(ctx context.Context, l layout) {
	if s.watcher != nil {
		select {
		case s.watcher.layouts <- l:
		case <-ctx.Done():
		}
		return
	}
	s.watcher = watch(ctx, l, s.Poll, func(err error) { s.report(Event{Polling: err}) })
	s.report(Event{Watching: l.roots})
	if info, err := os.Stat(s.Program.Executable); err != nil || l.newerThan(info.ModTime()) {
		s.since = time.Now()
		s.begin(ctx, false)
	}
}

// note remembers what a save asks for until it is served.
func (s *supervisor) note(saved save) {
	if s.since.IsZero() {
		s.since = saved.at
	}
	var shown []string
	for path, what := range saved.files {
		switch what {
		case settings:
			s.restart = true
		case page:
			s.pages = true
		}
		shown = append(shown, s.Program.short(path))
	}
	slices.Sort(shown)
	s.report(Event{Files: shown})
}

// begin begins an attempt to serve the files as they are now. An earlier one that
// still runs is given up: its files are out of date. Only the first, which builds
// nothing, may end before.
func (s *supervisor) begin(ctx context.Context, first bool) {
	if s.first {
		s.queued = true
		return
	}
	s.front.work()
	before := s.latest
	if s.cancel != nil {
		s.cancel()
	}
	ctx, s.cancel = context.WithCancel(ctx)
	over := make(chan struct{})
	s.latest, s.first = over, first
	s.number++
	number, restart, serving := s.number, s.restart, s.serving
	s.processes.Go(func() {
		defer close(over)
		if before != nil {
			<-before // two builds would write the same file
		}
		r := s.attempt(ctx, number, first, restart, serving)
		select {
		case s.results <- r:
		case <-s.closing:
			s.retire(r.process)
		}
	})
}

func (s *supervisor) attempt(ctx context.Context, number int, first, restart bool, serving *process) result {
	r := result{number: number}
	what := spawn{
		path: s.Program.Executable, args: s.Args, dir: s.dir, stdout: s.Stdout, stderr: s.Stderr, idle: s.IdleTimeout,
		brief: brief{
			Dir: s.dir, Address: s.Listener.Addr().String(), Grace: s.Grace,
			Again: !first, Terminal: s.Terminal,
		},
	}
	if !first {
		complaint, err := s.builder.build(ctx)
		if err != nil || complaint != "" {
			if r.err = err; err == nil {
				r.failure = doesNotCompile(complaint, s.Program.Dir)
			}
			return r
		}
		what.path = s.builder.path()
		file, err := os.Stat(what.path)
		if err != nil {
			r.err = err
			return r
		}
		if !restart && serving != nil && os.SameFile(serving.file, file) {
			return r // nothing that is built has changed
		}
	}
	p, err := what.start(number)
	if err != nil {
		r.err = err
		return r
	}
	select {
	case <-p.ready:
		r.process = p
	case <-p.done:
		r.failure = hasEnded(p, Starting)
	case <-ctx.Done():
		s.retire(p)
	}
	return r
}

// finish takes the result of an attempt.
func (s *supervisor) finish(ctx context.Context, r result) {
	if r.number != s.number || ctx.Err() != nil {
		s.retire(r.process)
		return
	}
	first := s.first
	s.first = false
	switch {
	case r.err != nil:
		s.front.rest()
		s.report(Event{Err: r.err})
	case r.failure != nil:
		s.front.fail(r.failure)
		s.report(Event{Failure: r.failure})
	case r.process == nil && s.serving == nil: // it has ended meanwhile
		s.begin(ctx, false)
	case r.process == nil:
		if s.front.heal(s.pages) {
			s.report(Event{Healed: true})
		}
		s.settle()
	default:
		s.retire(s.front.serve(r.process))
		s.serving = r.process
		s.processes.Go(func() { s.mourn(r.process) })
		if !first && !s.since.IsZero() {
			s.report(Event{Took: time.Since(s.since)})
		}
		s.settle()
	}
	if s.queued {
		s.queued = false
		s.begin(ctx, false)
	}
}

// settle forgets what is served now.
func (s *supervisor) settle() {
	if !s.queued {
		s.since, s.restart, s.pages = time.Time{}, false, false
	}
}

// retire ends a process that another one has taken the place of.
func (s *supervisor) retire(p *process) {
	if p != nil {
		s.processes.Go(func() { p.retire(s.closing, s.Grace) })
	}
}

// mourn tells when a process has ended.
func (s *supervisor) mourn(p *process) {
	<-p.done
	select {
	case s.lost <- p:
	case <-s.closing:
	}
}

package reload

import (
	"context"
	"io/fs"
	"maps"
	"time"
)

// Editors save in several steps. What follows within quiet belongs to the same save;
// nobody who never stops saving is waited for longer than patience.
const (
	quiet    = 40 * time.Millisecond
	patience = 400 * time.Millisecond
)

// save is what has changed at once.
type save struct {
	files map[string]kind
	at    time.Time // the first of it
}

// watcher tells of saves. One that nobody has taken yet grows.
type watcher struct {
	saves   chan save
	layouts chan layout // a new one
	resort  func(error) // told why it polls

	layout  layout // the rest belongs to run
	from    source
	pending map[string]kind
	first   time.Time
	settled <-chan time.Time
}

// source tells of paths that may have changed.
type source interface {
	paths() <-chan string
	failed() <-chan error // why it cannot go on
	extend(l layout) error
	close()
}

// watch watches until ctx ends. It polls when the system cannot watch, or not so
// much.
func watch(ctx context.Context, l layout, poll bool, resort func(error)) *watcher {
	w := &watcher{
		saves: make(chan save), layouts: make(chan layout), resort: resort,
		layout: l, pending: make(map[string]kind),
	}
	if poll {
		w.from = newPolling(l)
	} else if from, err := newNotified(l); err != nil {
		w.poll(err)
	} else {
		w.from = from
	}
	go w.run(ctx)
	return w
}

// poll takes the place of a source that has failed.
func (w *watcher) poll(why error) {
	w.resort(why)
	w.from = newPolling(w.layout)
}

func (w *watcher) run(ctx context.Context) {
	var (
		out  chan<- save
		next save
	)
	defer func() { w.from.close() }()
	for {
		select {
		case <-ctx.Done():
			return
		case w.layout = <-w.layouts:
			if err := w.from.extend(w.layout); err != nil {
				w.give(err)
			}
		case err := <-w.from.failed():
			w.give(err)
		case path := <-w.from.paths():
			w.note(path)
		case <-w.settled:
			w.settled = nil
			next = save{files: maps.Clone(w.pending), at: w.first}
			out = w.saves
			continue
		case out <- next:
			clear(w.pending)
		}
		if w.settled != nil || len(w.pending) == 0 {
			out = nil
		}
	}
}

// give gives a source up. What has changed meanwhile nobody knows, so that
// everything may have.
func (w *watcher) give(why error) {
	w.from.close()
	w.poll(why)
	_ = w.layout.walk(func(string) error { return nil }, func(path string, _ fs.FileInfo) { w.note(path) }) // nothing in it fails
}

func (w *watcher) note(path string) {
	what := w.layout.kindOf(path)
	if what == ignored {
		return
	}
	if len(w.pending) == 0 {
		w.first = time.Now()
	}
	w.pending[path] = what
	w.settled = time.After(min(quiet, max(0, time.Until(w.first.Add(patience)))))
}

package reload

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// notified is told by the system. The systems watch single folders, so that each
// gets a watch of its own.
type notified struct {
	watcher *fsnotify.Watcher
	out     chan string
	errs    chan error
	ctx     context.Context
	cancel  context.CancelFunc

	mu      sync.Mutex // guards the rest
	layout  layout
	folders map[string]bool
}

func newNotified(l layout) (*notified, error) {
	watcher, err := fsnotify.NewBufferedWatcher(256)
	if err != nil {
		return nil, err
	}
	n := &notified{watcher: watcher, out: make(chan string), errs: make(chan error), folders: make(map[string]bool)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if err := n.extend(l); err != nil {
		n.close()
		return nil, err
	}
	go n.run()
	return n, nil
}

func (n *notified) paths() <-chan string { return n.out }
func (n *notified) failed() <-chan error { return n.errs }

func (n *notified) close() {
	n.cancel()
	_ = n.watcher.Close() // there is nothing to lose in it
}

func (n *notified) extend(l layout) error {
	n.mu.Lock()
	n.layout = l
	n.mu.Unlock()
	return l.walk(n.add, func(string, fs.FileInfo) {})
}

// add watches a folder. One that has vanished meanwhile is none of ours.
func (n *notified) add(folder string) error {
	err := n.watcher.Add(folder)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err == nil {
		n.mu.Lock()
		n.folders[folder] = true
		n.mu.Unlock()
	}
	return err
}

func (n *notified) run() {
	for {
		select {
		case <-n.ctx.Done():
			return
		case err, open := <-n.watcher.Errors:
			if !open {
				return
			}
			n.lost(err)
		case event, open := <-n.watcher.Events:
			if !open {
				return
			}
			n.hear(event)
		}
	}
}

func (n *notified) hear(event fsnotify.Event) {
	if event.Op == fsnotify.Chmod {
		return // backups and indexers do that all day
	}
	n.mu.Lock()
	wasFolder := n.folders[event.Name]
	l := n.layout
	if wasFolder && (event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename)) {
		delete(n.folders, event.Name)
	}
	n.mu.Unlock()
	if event.Has(fsnotify.Create) {
		if info, err := os.Lstat(event.Name); err == nil && info.IsDir() {
			n.enter(l, event.Name)
			return
		}
	}
	if wasFolder {
		n.tell(event.Name + folderMark)
	} else {
		n.tell(event.Name)
	}
}

// enter watches a new folder and what is in it. Its files may have come before the
// watch did.
func (n *notified) enter(l layout, folder string) {
	root, ok := l.rootOf(folder)
	if !ok {
		return
	}
	var found []string
	if err := l.walkFrom(root, folder, n.add, func(path string, _ fs.FileInfo) { found = append(found, path) }); err != nil {
		n.fail(err)
		return
	}
	for _, path := range found {
		n.tell(path)
	}
}

// lost is what the system says when it has forgotten events: everything may have
// changed.
func (n *notified) lost(err error) {
	if !errors.Is(err, fsnotify.ErrEventOverflow) {
		n.fail(err)
		return
	}
	n.mu.Lock()
	l := n.layout
	n.mu.Unlock()
	var found []string
	if err := l.walk(n.add, func(path string, _ fs.FileInfo) { found = append(found, path) }); err != nil {
		n.fail(err)
		return
	}
	for _, path := range found {
		n.tell(path)
	}
}

func (n *notified) tell(path string) {
	select {
	case n.out <- path:
	case <-n.ctx.Done():
	}
}

func (n *notified) fail(err error) {
	select {
	case n.errs <- err:
	case <-n.ctx.Done():
	}
}

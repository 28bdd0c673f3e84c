package reload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Options say what [Run] serves, and how.
type Options struct {
	// Listener is where clients come in. Run closes it.
	Listener net.Listener
	// Program is what is built, and Args what its processes get.
	Program Program
	Args    []string
	// Settings are files that the program reads when it starts, and that may lie
	// outside of its modules.
	Settings []string
	// Browser shows failures as pages, and lets pages in a browser load themselves
	// again. It is for development only: a failure shows source.
	Browser bool
	// Poll looks at the files again and again, instead of being told of changes.
	Poll bool

	// ReadHeaderTimeout and IdleTimeout are those of [http.Server].
	ReadHeaderTimeout, IdleTimeout time.Duration
	// Grace is how long a process has to end. What still runs then is killed.
	Grace time.Duration

	// Stdout and Stderr are those of the processes.
	Stdout, Stderr io.Writer
	// Terminal says that Stderr ends at one; see [Child.Terminal].
	Terminal bool
	// Report is told what happens, one event after the other. It must not be nil.
	Report func(Event)
}

// Event is something that has happened, for those who sit before the terminal. One
// of its fields says what.
type Event struct {
	Watching []string      // the folders that are watched, with those in them
	Files    []string      // have changed, and are looked at
	Took     time.Duration // from a change until a new process serves it
	Failure  *Failure      // what has not come to that
	Healed   bool          // what has failed is as good again as what is served
	Polling  error         // why files are polled
	Err      error         // what else is wrong: reloading may not work
}

// ErrUnclean is returned by [Run] when the last process did not end well. It has said
// why.
var ErrUnclean = errors.New("reload: the process has not ended well")

// Run serves the program until ctx ends, and then drains it. The first process is the
// program that runs; when its source is newer, it is built at once.
//
// Nothing is left when it returns: no process, no file.
func Run(ctx context.Context, o Options) (err error) {
	dir, err := makeDir()
	if err != nil {
		return errors.Join(err, o.Listener.Close())
	}
	s := &supervisor{
		Options: o, dir: dir, builder: builder{o.Program, dir}, front: newFront(o.Browser),
		results: make(chan result), lost: make(chan *process), closing: make(chan struct{}),
	}
	server := &http.Server{
		Handler: s.front, ReadHeaderTimeout: o.ReadHeaderTimeout, IdleTimeout: o.IdleTimeout,
		ErrorLog: log.New(io.Discard, "", 0), // what clients do wrong; the site would say it quietly
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(o.Listener) }()

	err = s.supervise(ctx, stopped)
	s.front.close()
	// Programs run on without their files. Whatever happens from here on, a second
	// Ctrl-C too, little is left.
	_ = os.RemoveAll(dir)

	shut := make(chan struct{})
	go func() {
		defer close(shut)
		_ = server.Shutdown(context.Background()) // the listener is gone, one way or the other
	}()
	err = errors.Join(err, s.stop())
	select {
	case <-shut:
	case <-time.After(lastBytes):
		_ = server.Close()
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// lastBytes is how long clients may take for what the processes have written before
// they ended.
const lastBytes = time.Second

// makeDir makes the temporary folder. The path of a socket in it has to be short.
func makeDir() (string, error) {
	const most = 80
	parent := os.TempDir()
	if len(parent) > most {
		parent = "/tmp"
	}
	return os.MkdirTemp(parent, "quintet-reload-")
}

// supervisor decides what is built, started and served.
type supervisor struct {
	Options
	dir     string
	builder builder
	front   *front
	watcher *watcher
	results chan result   // of attempts
	lost    chan *process // have ended while they served
	closing chan struct{} // closed when nobody takes results any more

	processes sync.WaitGroup // whatever has to end before Run does
	reports   sync.Mutex

	serving *process
	number  int // of the latest attempt
	cancel  context.CancelFunc
	latest  <-chan struct{} // closed when the latest attempt is over
	first   bool            // it is the first one, which is not given up
	queued  bool            // another one is due after it
	since   time.Time       // the first change that is not served yet
	restart bool            // a new process is due, whatever comes out of the build
	pages   bool            // browsers are due
}

// result is what has come of an attempt.
type result struct {
	number  int
	process *process // that is ready
	failure *Failure
	err     error
}

func (s *supervisor) supervise(ctx context.Context, stopped <-chan error) error {
	layouts := make(chan layout, 1)
	s.learn(ctx, layouts)
	s.begin(ctx, true)
	for {
		var saves <-chan save
		if s.watcher != nil {
			saves = s.watcher.saves
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-stopped:
			return fmt.Errorf("serve at %s: %w", s.Listener.Addr(), err)
		case l := <-layouts:
			s.arrange(ctx, l)
		case save := <-saves:
			s.note(save)
			if s.asksGo(save) {
				s.learn(ctx, layouts)
			}
			s.begin(ctx, false)
		case r := <-s.results:
			s.finish(ctx, r)
		case p := <-s.lost:
			if p == s.serving && ctx.Err() == nil {
				s.serving = nil
				failure := hasEnded(p, Serving)
				s.front.lose(failure)
				s.report(Event{Failure: failure})
			}
		}
	}
}

// report tells what has happened, one after the other.
func (s *supervisor) report(e Event) {
	s.reports.Lock()
	defer s.reports.Unlock()
	s.Report(e)
}

// stop ends every process, and waits for that.
func (s *supervisor) stop() error {
	close(s.closing)
	s.cancel()
	var err error
	if p := s.serving; p != nil {
		if p.end(s.Grace); p.err != nil {
			err = ErrUnclean
		}
	}
	s.processes.Wait()
	return err
}

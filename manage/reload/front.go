package reload

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"strings"
	"sync"
	"syscall"
	"time"
)

// front is what clients speak to: it passes each request on to the process that
// serves, or shows what is wrong.
type front struct {
	browser bool // show pages, reload browsers
	page    *template.Template
	proxy   *httputil.ReverseProxy

	mu      sync.Mutex // guards the rest
	serving *process   // nil when there is none
	failure *Failure   // nil when all is well
	busy    bool       // something is being built or started
	closed  bool
	epoch   int64 // when this process began, so that ids do not come again
	number  int
	changed chan struct{} // closed, and replaced, with each change of the above
}

func newFront(browser bool) *front {
	f := &front{browser: browser, page: newPage(), epoch: time.Now().UnixMilli(), busy: true, changed: make(chan struct{})}
	f.proxy = &httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      passOn{},
		FlushInterval:  -1, // streams are streams
		ModifyResponse: f.modify,
		ErrorHandler:   f.broken,
		ErrorLog:       log.New(io.Discard, "", 0), // the process that serves says it better
	}
	return f
}

// picked is the process that a request goes to.
type picked struct {
	*process
	id    string
	begun func()
}

type pickedKey struct{}

// ServeHTTP implements [http.Handler].
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.browser {
		switch r.URL.Path {
		case pathEvents:
			f.serveEvents(w, r)
			return
		case pathScript:
			serveScript(w)
			return
		}
	}
	p, failure := f.pick(r.Context())
	if failure != nil && f.browser && isNavigation(r) {
		if p != nil {
			p.begun()
		}
		id, _, _ := f.now()
		f.writePage(w, failure, id)
		return
	}
	if p == nil {
		f.unavailable(w, failure)
		return
	}
	defer p.begun()
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotFirstResponseByte: p.begun})
	f.proxy.ServeHTTP(w, r.WithContext(context.WithValue(ctx, pickedKey{}, p)))
}

// isNavigation reports whether a browser wants to show the answer as a page.
func isNavigation(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && wantsPage(r)
}

func wantsPage(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// pick returns the process that serves, and what is wrong. While there is none, but
// one is on its way, it waits.
func (f *front) pick(ctx context.Context) (*picked, *Failure) {
	for {
		f.mu.Lock()
		serving, failure, id, changed, wait := f.serving, f.failure, f.id(), f.changed, f.busy && !f.closed
		if serving != nil {
			p := &picked{process: serving, id: id, begun: serving.arrive()}
			f.mu.Unlock()
			return p, failure
		}
		f.mu.Unlock()
		if !wait {
			return nil, failure
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, failure
		}
	}
}

func (f *front) unavailable(w http.ResponseWriter, failure *Failure) {
	text := "the site is not served at the moment"
	if failure != nil {
		text = failure.String()
	}
	w.Header().Set("Retry-After", "1")
	http.Error(w, text, http.StatusServiceUnavailable)
}

// rewrite passes the request on as it has come: there is no proxy as far as the site
// is concerned.
func rewrite(r *httputil.ProxyRequest) {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, has := r.In.Header[name]; has {
			r.Out.Header[name] = values
		}
	}
	r.Out.URL.Scheme = "http"
	r.Out.URL.Host = r.In.RemoteAddr // see process.transport
	r.Out.URL.RawQuery = r.In.URL.RawQuery
}

// passOn sends a request to the process that was picked for it.
type passOn struct{}

func (passOn) RoundTrip(r *http.Request) (*http.Response, error) {
	return r.Context().Value(pickedKey{}).(*picked).transport.RoundTrip(r)
}

func (f *front) modify(response *http.Response) error {
	if f.browser {
		follow(response, response.Request.Context().Value(pickedKey{}).(*picked).id)
	}
	return nil
}

// broken answers for a process that did not.
func (f *front) broken(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody listens
	}
	p := r.Context().Value(pickedKey{}).(*picked)
	select {
	case <-p.done:
		if failure := hasEnded(p.process, Serving); f.browser && wantsPage(r) {
			f.writePage(w, failure, p.id)
		} else {
			f.unavailable(w, failure)
		}
	case <-time.After(dying):
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
			panic(http.ErrAbortHandler) // it has hung up, and so do we
		}
		w.Header().Set("Retry-After", "1")
		http.Error(w, fmt.Sprintf("the site does not answer: %v", err), http.StatusBadGateway)
	}
}

// dying is how long it takes at most to hear of the end of a process whose
// connections have ended.
const dying = time.Second / 2

// now is the id of what is served, and what is closed when it changes.
func (f *front) now() (id string, changed <-chan struct{}, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.id(), f.changed, !f.closed
}

func (f *front) id() string { return fmt.Sprintf("%d-%d", f.epoch, f.number) }

func (f *front) isServed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.serving != nil
}

// change changes what clients see.
func (f *front) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
	close(f.changed)
	f.changed = make(chan struct{})
}

// serve lets the process serve from now on, and returns the one that did.
func (f *front) serve(p *process) (before *process) {
	f.change(func() {
		before, f.serving, f.failure, f.busy = f.serving, p, nil, false
		f.number++
	})
	return before
}

// fail shows what is wrong with what was on its way.
func (f *front) fail(failure *Failure) {
	f.change(func() {
		f.failure, f.busy = failure, false
		f.number++
	})
}

// lose shows that the process that serves has ended.
func (f *front) lose(failure *Failure) {
	f.change(func() {
		f.serving, f.failure = nil, failure
		f.number++
	})
}

// work says that something is on its way.
func (f *front) work() { f.change(func() { f.busy = true }) }

// rest says that nothing has come of it.
func (f *front) rest() { f.change(func() { f.busy = false }) }

// heal says that nothing had to come of it: what is served is right. Browsers load
// their page again if it may be another one.
func (f *front) heal(pages bool) (hadFailed bool) {
	f.change(func() {
		if hadFailed = f.failure != nil; hadFailed || pages {
			f.number++
		}
		f.failure, f.busy = nil, false
	})
	return hadFailed
}

// close ends what waits.
func (f *front) close() { f.change(func() { f.closed = true }) }

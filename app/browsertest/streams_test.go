package browsertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	downloads "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

// history is what happened, for whoever asks for what comes after something. It
// outlives the sites that tell it.
type history struct {
	mu       sync.Mutex // guards the rest
	happened int
	more     chan struct{} // closed by the next event
	asked    []string      // the Last-Event-ID of each request
}

func newHistory() *history { return &history{more: make(chan struct{})} }

func (h *history) add(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.happened += n
	close(h.more)
	h.more = make(chan struct{})
}

func (h *history) asks(last string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, last)
}

func (h *history) now() (happened int, more <-chan struct{}, asked []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.happened, h.more, slices.Clone(h.asked)
}

// feed is a site that tells the history to a page. What comes on cut breaks a stream.
func (h *history) feed(cut <-chan error) func(*app.Site) {
	return func(s *app.Site) {
		s.GET("/", func(*views.Request) (views.Response, error) {
			return views.HTML{Body: `<!doctype html><title>feed</title><script>
				got = []; states = []
				source = new EventSource("/events")
				source.onmessage = e => got.push(e.lastEventId + " " + e.data)
				source.onerror = () => states.push(source.readyState)
			</script>`}, nil
		})
		s.GET("/events", func(r *views.Request) (views.Response, error) {
			ctx, last := r.Context(), r.Header.Get("Last-Event-ID")
			h.asks(last)
			sent, err := strconv.Atoi("0" + last)
			if err != nil {
				return nil, &views.Error{Status: http.StatusBadRequest, Err: err}
			}
			return views.Events(func(yield func(views.Event[string], error) bool) {
				if !yield(views.Event[string]{Retry: 50 * time.Millisecond}, nil) {
					return
				}
				for {
					happened, more, _ := h.now()
					for ; sent < happened; sent++ {
						if !yield(views.Event[string]{ID: strconv.Itoa(sent + 1), Data: fmt.Sprintf("event %d", sent+1)}, nil) {
							return
						}
					}
					select {
					case <-more:
					case err := <-cut:
						yield(views.Event[string]{}, err)
						return
					case <-ctx.Done():
						return
					}
				}
			}), nil
		})
	}
}

// serve serves a site at an address until stop is called, which waits for the end.
func serve(t *testing.T, address string, routes func(*app.Site), middleware ...func(http.Handler) http.Handler) (at string, stop func()) {
	t.Helper()
	site, err := app.New(app.Settings{AllowedHosts: []string{"127.0.0.1"}, AdminSockets: app.NoAdmin}, app.Options{
		Logger: slog.New(slog.DiscardHandler), Routes: routes, Middleware: middleware,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- site.Serve(ctx, listener) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

// An EventSource connects again by itself, after a restart of the site and after a
// stream that was broken off, and misses nothing of what happened meanwhile.
func TestEventSourceMissesNothing(t *testing.T) {
	t.Parallel()
	page := browser(t, desktop())
	h, cut := newHistory(), make(chan error)
	address, stop := serve(t, "127.0.0.1:0", h.feed(cut))
	do(t, page, chromedp.Navigate("http://"+address))
	arrived := func(n int) {
		t.Helper()
		see(t, page, chromedp.Poll[bool](fmt.Sprintf("got.length >= %d", n)))
	}
	h.add(3)
	arrived(3)

	stop() // a restart; the page may ask while nobody is there
	h.add(2)
	_, stop = serve(t, address, h.feed(cut))
	arrived(5)
	h.add(2)
	arrived(7)

	cut <- errors.New("the stream fails") // and no restart
	h.add(2)
	arrived(9)
	got := see(t, page, chromedp.Evaluate[[]string]("got"))
	var want []string
	for n := range 9 {
		want = append(want, fmt.Sprintf("%d event %[1]d", n+1))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page has got %q", got)
	}
	if states := see(t, page, chromedp.Evaluate[[]int]("states")); len(states) < 2 || slices.Contains(states, 2) {
		t.Errorf("after errors the page is in the states %v: 2 is for good", states)
	}
	if _, _, asked := h.now(); len(asked) < 3 || asked[0] != "" || !slices.Contains(asked, "3") || !slices.Contains(asked, "7") {
		t.Errorf("the site was asked for what comes after %q", asked)
	}
	do(t, page, chromedp.Evaluate[chromedp.Void]("source.close()"))
	stop()
}

// A download that fails in the middle is reported as failed, and no file passes for the
// whole one.
func TestADownloadThatFailsIsReported(t *testing.T) {
	t.Parallel()
	const line = "0123456789,0123456789,0123456789\n"
	export := func(fails bool) views.View {
		return func(*views.Request) (views.Response, error) {
			return views.StreamingResponse{
				ContentType: "text/csv", Header: http.Header{"Content-Disposition": {`attachment; filename="export.csv"`}},
				Body: views.Write(func(_ context.Context, w io.Writer) error {
					for range 10_000 {
						if _, err := io.WriteString(w, line); err != nil {
							return err
						}
					}
					if fails {
						return errors.New("the export fails")
					}
					return nil
				}),
			}, nil
		}
	}
	routes := func(s *app.Site) {
		s.GET("/", func(*views.Request) (views.Response, error) {
			return views.HTML{Body: `<!doctype html><title>exports</title><a href="/whole">whole</a> <a href="/fails">fails</a>`}, nil
		})
		s.GET("/whole", export(false))
		s.GET("/fails", export(true))
	}
	for name, middleware := range map[string][]func(http.Handler) http.Handler{"": nil, ", compressed": {app.GZip}} {
		t.Run("download"+name, func(t *testing.T) {
			t.Parallel()
			address, _ := serve(t, "127.0.0.1:0", routes, middleware...)
			page, folder := browser(t, desktop()), t.TempDir()
			do(t, page, chromedp.Navigate("http://"+address), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
				_, err := chromedp.CallBrowser(ctx, downloads.SetDownloadBehavior, downloads.SetDownloadBehaviorParams{
					Behavior: downloads.SetDownloadBehaviorBehaviorAllow, DownloadPath: folder, EventsEnabled: new(true),
				})
				return err
			}))
			if state := download(t, page, "whole"); state != downloads.DownloadProgressStateCompleted {
				t.Errorf("a whole download is %s", state)
			}
			content, err := os.ReadFile(filepath.Join(folder, "export.csv"))
			if err != nil || string(content) != strings.Repeat(line, 10_000) {
				t.Errorf("the whole file has %d bytes, %v", len(content), err)
			}
			if err := os.Remove(filepath.Join(folder, "export.csv")); err != nil {
				t.Error(err)
			}
			if state := download(t, page, "fails"); state != downloads.DownloadProgressStateCanceled {
				t.Errorf("a download that fails is %s", state)
			}
			files, err := filepath.Glob(filepath.Join(folder, "*.csv"))
			if err != nil || len(files) > 0 {
				t.Errorf("what failed was saved as %q", files)
			}
		})
	}
}

// download follows a link, and returns how the download ends.
func download(t *testing.T, page context.Context, link string) downloads.DownloadProgressState {
	t.Helper()
	ctx, cancel := context.WithTimeout(page, limit)
	defer cancel()
	progress := chromedp.BrowserEvents(ctx, downloads.DownloadProgress)
	do(t, page, chromedp.Click(chromedp.CSS(fmt.Sprintf(`a[href="/%s"]`, link))))
	for event, err := range progress {
		if err != nil {
			t.Fatal(err)
		}
		if event.State != downloads.DownloadProgressStateInProgress {
			return event.State
		}
	}
	return ""
}

package soaktest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ask is one kind of request.
type ask struct {
	name   string
	weight int
	cancel int // how many of a hundred leave before the end; 100 must
	method string
	path   func(r *rand.Rand, id string) string
	status int                                                         // of the right answer; 0 is 200
	read   func(path string, body io.Reader) (wrong string, err error) // "" for a right answer
}

func asks() []ask {
	fixed := func(path string) func(*rand.Rand, string) string {
		return func(*rand.Rand, string) string { return path }
	}
	from := func(prefix string, last int) func(*rand.Rand, string) string {
		return func(r *rand.Rand, _ string) string { return fmt.Sprint(prefix, r.IntN(last)) }
	}
	move := func(r *rand.Rand, id string) string {
		source := r.IntN(accountCount)
		target := (source + 1 + r.IntN(accountCount-1)) % accountCount
		return fmt.Sprintf("/transfer/%s?move=%d+%d+%d", id, source, target, r.IntN(50))
	}
	exactly := func(want string) func(string, io.Reader) (string, error) {
		return func(_ string, body io.Reader) (string, error) {
			got, err := io.ReadAll(body)
			if err == nil && strings.TrimSpace(string(got)) != want {
				return fmt.Sprintf("%q, want %q", got, want), nil
			}
			return "", err
		}
	}
	whatever := func(_ string, body io.Reader) (string, error) {
		_, err := io.Copy(io.Discard, body)
		return "", err
	}
	lines := func(n int) func(string, io.Reader) (string, error) {
		return func(path string, body io.Reader) (string, error) {
			first := lastNumber(path)
			return read(body, first, n)
		}
	}
	page := func(path string, body io.Reader) (string, error) {
		text, err := io.ReadAll(body)
		if err != nil {
			return "", err
		}
		rows, counted := strings.CutSuffix(string(text), fmt.Sprintf("%d\n", itemCount))
		if !counted {
			return fmt.Sprintf("no count of %d at the end", itemCount), nil
		}
		return read(strings.NewReader(rows), lastNumber(path), 40)
	}
	return []ask{
		{"rows", 30, 5, http.MethodGet, from("/rows/", itemCount-40), 0, page},
		{"transfer", 20, 5, http.MethodPost, move, 0, exactly("moved")},
		{"sum", 10, 0, http.MethodGet, fixed("/sum"), 0, exactly(fmt.Sprint(accountCount * startBalance))},
		{"export", 6, 20, http.MethodGet, fixed("/export"), 0, lines(itemCount)},
		{"cursor", 6, 20, http.MethodGet, fixed("/cursor"), 0, lines(itemCount)},
		{"ticks", 10, 10, http.MethodGet, from("/ticks/", itemCount-10), 0, lines(10)},
		{"endless", 8, 100, http.MethodGet, fixed("/endless"), 0, exactly("no answer")},
		{"session", 6, 0, http.MethodGet, fixed("/session"), 0, exactly("")},
		{"careless", 4, 0, http.MethodGet, fixed("/careless"), 0, exactly("left")},
		{"forgetful", 2, 0, http.MethodGet, fixed("/forgetful"), http.StatusInternalServerError, whatever},
	}
}

// nested wants two connections at once: one client at a time asks for it, so that
// those who hold one never wait for each other.
func nested() ask {
	return ask{
		"nested", 1, 5, http.MethodGet,
		func(r *rand.Rand, _ string) string { return fmt.Sprint("/nested/", r.IntN(itemCount-40)) }, 0,
		asks()[0].read,
	}
}

// lastNumber is the number at the end of a path.
func lastNumber(path string) (n int64) {
	_, _ = fmt.Sscan(path[strings.LastIndexByte(path, '/')+1:], &n) // none is 0
	return n
}

// asked is a request that is over.
type asked struct {
	id, name, path string
	began, ended   time.Time
	left           bool   // its client has left on purpose
	wrong          string // what it was answered with, when that is wrong
	failed         string // what its client saw of a failure
}

// clients ask, and remember what did not go well.
type clients struct {
	url    string
	client *http.Client
	seed   uint64

	asked, answered, left atomic.Int64
	mu                    sync.Mutex // guards the rest
	moved                 map[string]bool
	failed                []asked
	wrong                 []asked
	slowest               time.Duration
}

// run asks until ctx ends.
func (c *clients) run(ctx context.Context, worker int, asks []ask) {
	r := rand.New(rand.NewPCG(c.seed, uint64(worker)))
	total := 0
	for _, a := range asks {
		total += a.weight
	}
	for n := 0; ctx.Err() == nil; n++ {
		at, k := r.IntN(total), 0
		for ; at >= asks[k].weight; k++ {
			at -= asks[k].weight
		}
		c.ask(&asks[k], r, fmt.Sprintf("%d-%d", worker, n))
	}
}

func (c *clients) ask(a *ask, r *rand.Rand, id string) {
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	leaves := r.IntN(100) < a.cancel
	if leaves {
		timer := time.AfterFunc(time.Duration(r.IntN(30_000))*time.Microsecond, leave)
		defer timer.Stop()
	}
	done := asked{id: id, name: a.name, path: a.path(r, id), began: time.Now()}
	request, err := http.NewRequestWithContext(ctx, a.method, c.url+done.path, nil)
	if err != nil {
		panic(err) // the paths are made above
	}
	request.Header.Set(idHeader, id)
	c.asked.Add(1)
	response, err := c.client.Do(request)
	if err == nil {
		if response.StatusCode == cmp.Or(a.status, http.StatusOK) {
			done.wrong, err = a.read(done.path, response.Body)
		} else {
			err = fmt.Errorf("answered with %s", response.Status)
		}
		_ = response.Body.Close() // read, or given up
	}
	done.ended = time.Now()
	done.left = leaves && ctx.Err() != nil
	c.note(done, err)
}

func (c *clients) note(done asked, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slowest = max(c.slowest, done.ended.Sub(done.began))
	switch {
	case done.wrong != "":
		c.wrong = append(c.wrong, done)
	case err == nil:
		c.answered.Add(1)
		if done.name == "transfer" {
			c.moved[done.id] = true
		}
	case done.left:
		c.left.Add(1)
	default:
		done.failed = err.Error()
		c.failed = append(c.failed, done)
	}
}

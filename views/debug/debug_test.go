package debug_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	runtimedebug "runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/views/debug"
)

// pages are both forms of a page, and their names.
func pages(t *testing.T, p *debug.Page, f *debug.Failure) map[string]string {
	t.Helper()
	html, isHTML := p.HTML(f)
	if !isHTML {
		t.Error("the page is no HTML")
	}
	return map[string]string{"HTML": string(html), "text": string(p.Text(f))}
}

func TestPage_WithNothingToTell(t *testing.T) {
	t.Parallel()
	p := debug.New()
	for _, f := range []*debug.Failure{
		{}, {Status: 500}, {Status: 599, Err: errors.New("")}, {Status: 500, Request: &http.Request{}},
		{Status: 404, Request: &http.Request{URL: &url.URL{}}, Routes: []debug.Route{{}}, Scope: &debug.Scope{}},
		{Status: 500, Stack: []byte("no stack\n\n\t\n(\n"), Scope: &debug.Scope{Statements: []debug.Statement{{Hold: 7}, {Hold: -1}}, Failed: &pool.Place{}}},
		{Status: 500, View: debug.View{Name: "polls.List", File: "/nowhere/at/all.go", Line: 3}},
	} {
		for kind, page := range pages(t, p, f) {
			if !strings.Contains(page, "because DEBUG is true") || strings.Contains(page, "cannot be made") {
				t.Errorf("%+v as %s is\n%s", f, kind, page)
			}
		}
	}
}

// What the page is made with may be broken itself: it is left out, and said to be.
func TestPage_OfWhatIsBroken(t *testing.T) {
	t.Parallel()
	f := &debug.Failure{
		Status: 500, Err: fmt.Errorf("template: list.html:3: broken"), Settings: []debug.Setting{{Key: "DEBUG", Value: "true", Origin: "default"}},
		Template: func(string) (string, error) { panic("no templates") },
	}
	for kind, page := range pages(t, debug.New(), f) {
		for _, want := range []string{"the code", "template: list.html:3: broken", "DEBUG"} {
			if !strings.Contains(page, want) {
				t.Errorf("the %s lacks %q:\n%s", kind, want, page)
			}
		}
	}
	page, isHTML := debug.Broken().HTML(f)
	if isHTML || !strings.Contains(string(page), "template: list.html:3: broken") {
		t.Errorf("without its document the page is (HTML: %t)\n%s", isHTML, page)
	}
	if page, isHTML = debug.Panicking().HTML(f); isHTML || !strings.Contains(string(page), "template: list.html:3: broken") {
		t.Errorf("without any document the page is (HTML: %t)\n%s", isHTML, page)
	}
	if page := debug.New().Text(nil); !strings.Contains(string(page), "cannot be made") {
		t.Errorf("the page of nothing is\n%s", page)
	}
}

// circle wraps itself, and tree has more branches than anybody reads.
type circle struct{}

func (c *circle) Error() string { return "round" }
func (c *circle) Unwrap() error { return c }

type tree struct{ depth int }

func (t *tree) Error() string { return fmt.Sprintf("depth %d", t.depth) }
func (t *tree) Unwrap() []error {
	return []error{&tree{t.depth + 1}, nil, &tree{t.depth + 1}}
}

func TestPage_OfErrorsWithoutEnd(t *testing.T) {
	t.Parallel()
	for _, err := range []error{&circle{}, &tree{}, errors.Join(&tree{}, &circle{})} {
		for kind, page := range pages(t, debug.New(), &debug.Failure{Status: 500, Err: err}) {
			if !strings.Contains(page, "and more") || len(page) > 64<<10 {
				t.Errorf("the %s of %T has %d bytes:\n%s", kind, err, len(page), page)
			}
		}
	}
}

// hinted says what to do by a method, as errors of a site may.
type hinted struct{ hint string }

func (h *hinted) Error() string { return "db: it fails; here; and there" }
func (h *hinted) Hint() string  { return h.hint }

func TestPage_SaysWhatToDoNow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want string
	}{
		{&hinted{"read the manual"}, "read the manual"},
		{fmt.Errorf("a view: %w", &hinted{"read the manual"}), "read the manual"},
		{&hinted{}, ""}, // its word is the last
		{fmt.Errorf("wrapped: %w", errors.New("db: no scope: this is none; use db.Run")), "use db.Run"},
		{fmt.Errorf("wrapped: %w", errors.New("app: the host is not in ALLOWED_HOSTS; add it")), "add it"},
		{errors.New("of a site; with a semicolon"), ""},
		{errors.New("app: panic: somebody's; text"), ""},
		{&pool.AcquireError{Kind: pool.Exhausted}, "give connections back earlier or raise MAX_CONNECTIONS"},
		{&pool.AcquireError{Kind: pool.Unreachable, Err: errors.New("dial; refused")}, "see whether the database runs, and is where HOST, PORT and NAME say"},
		{&pool.AcquireError{Kind: pool.Locked}, "write in shorter blocks, and wait for nothing else in them"},
		{&pool.AcquireError{Kind: pool.GaveUp, Err: context.Canceled}, ""},
		{&pool.BusyError{Here: "a.go:1", Open: "a.go:2", Query: "SELECT 1"}, "read them to the end or close them first"},
	} {
		text := string(debug.New().Text(&debug.Failure{Status: 500, Err: test.err}))
		_, hint, says := strings.Cut(text, "What to do now: ")
		hint, _, _ = strings.Cut(hint, "\n")
		if says != (test.want != "") || hint != test.want {
			t.Errorf("%v: the hint is %q, want %q", test.err, hint, test.want)
		}
	}
	text := string(debug.New().Text(&debug.Failure{Status: 500, Err: errors.New("db: it; that"), Hint: "the caller's"}))
	if !strings.Contains(text, "What to do now: the caller's\n") {
		t.Errorf("a hint that is given is not shown:\n%s", text)
	}
}

// Values are hidden by their names, and wherever else they stand; names are not values.
func TestPage_HidesByNameAndByValue(t *testing.T) {
	t.Parallel()
	const secret = `Tr0ub4dor&3"é/`
	r := httptest.NewRequest(http.MethodPost, "/?"+url.Values{"Api_Key": {secret}, "q": {secret}, "n": {"7"}, "pass": {"7"}}.Encode(), nil)
	for name, value := range map[string]string{
		"Authorization": "Token " + secret, "X-Auth": secret, "X-Signature": secret, "Cookie": "sessionid=abcdefgh; lang=en",
		"X-Copy": "a copy of " + secret + " and of abcdefgh", "Referer": "https://me:pw@example.com/?secret=x&page=2#top",
	} {
		r.Header.Set(name, value)
	}
	f := &debug.Failure{
		Status: 500, Err: fmt.Errorf("it was %s, spelt %q, in a query %s; the postgres says postgresql", secret, secret, url.QueryEscape(secret)),
		Request: r, Form: url.Values{"password1": {"short"}, "name": {"short circuit, shortly"}, "author": {"Ada Lovelace"}},
		Settings: []debug.Setting{{Key: "DATABASES.default.ENGINE", Value: `"postgres"`, Origin: "settings.yaml:3"}},
		Secrets:  []string{"postgres", secret, "", " ", "ab"},
	}
	for kind, page := range pages(t, debug.New(), f) {
		for _, not := range []string{"Tr0ub4dor", "abcdefgh", "me:pw", "secret=x", "short circuit", "Lovelace"} {
			if i := strings.Index(page, not); i >= 0 {
				t.Errorf("the %s has %q: %q", kind, not, page[max(0, i-80):i+40])
			}
		}
		for _, want := range []string{"sessionid", "page=2", "top", "[hidden] circuit, shortly", "postgresql", "the postgres says", "password1", "Api_Key", "@example.com"} {
			if !strings.Contains(page, want) {
				t.Errorf("the %s lacks %q:\n%s", kind, want, page)
			}
		}
	}
}

// A secret that a bound cuts in two is not shown in part.
func TestPage_CutsNoSecretInTwo(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("0123456789abcdef", 16)
	for before := range 300 {
		text := strings.Repeat("x", 8<<10-before) + secret + " " + strings.Repeat(secret+" ", 200)
		page := string(debug.New().Text(&debug.Failure{Status: 500, Err: errors.New(text), Secrets: []string{secret}}))
		if strings.Contains(page, "01234") || !strings.Contains(page, "bytes more)") {
			t.Fatalf("%d bytes before the bound a secret is shown in part", before)
		}
	}
}

// What a database quotes of a statement that failed is hidden, and what a site says of
// another one is not.
func TestPage_HidesTheValuesOfStatements(t *testing.T) {
	t.Parallel()
	f := &debug.Failure{
		Status: 500,
		Err: fmt.Errorf(`invalid input syntax for type integer: "it's 4711-4711" of Ada; sent %q`,
			pool.Shorten("SELECT 1 WHERE n = 'it''s 4711-4711' AND m = 'Ada'")),
		Statements: []debug.Sent{
			{Query: "SELECT 'syntax'"}, {Query: "SELECT 1 WHERE n = 'it''s 4711-4711' AND m = 'Ada'", Failed: true},
		},
	}
	for kind, page := range pages(t, debug.New(), f) {
		if strings.Contains(page, "4711") || strings.Contains(page, "'Ada'") || !strings.Contains(page, "invalid input syntax") || !strings.Contains(page, "SELECT ? WHERE n = ?") {
			t.Errorf("the %s is\n%s", kind, page)
		}
	}
}

func polls() map[string]int { return nil }

// A panic is shown with the lines of whoever panicked, and the stack beneath.
func TestPage_OfAPanic(t *testing.T) {
	t.Parallel()
	var f debug.Failure
	func() {
		defer func() {
			v := recover()
			f = debug.Failure{Status: 500, Err: fmt.Errorf("panic: %v", v), Panic: v, Stack: runtimedebug.Stack()}
		}()
		polls()["votes"]++ // of nothing
	}()
	for kind, page := range pages(t, debug.New(), &f) {
		for _, want := range []string{"assignment to entry in nil map", " // of nothing", "debug_test.TestPage_OfAPanic", "it panicked here", "debug/debug_test.go:", "testing.tRunner"} {
			if !strings.Contains(page, want) {
				t.Errorf("the %s lacks %q:\n%s", kind, want, page)
			}
		}
	}
}

func TestPage_TellsWhoseCodeItIs(t *testing.T) {
	t.Parallel()
	const root = "/usr/local/go/src/"
	for _, test := range []struct{ main, root, function, file, want string }{
		{"blog", root, "blog/polls.List", "/home/ada/blog/polls/views.go", "own"},
		{"blog", root, "blog/polls.(*Store).Find.func1", "/home/ada/blog/polls/store.go", "own"},
		{"blog", root, "blog.New", "/home/ada/blog/site.go", "own"},
		{"blog", root, "main.main", "/home/ada/blog/manage/main.go", "own"},
		{"blog", root, "blog/site_test.TestIt", "/home/ada/blog/site/site_test.go", "own"},
		{"blog", root, "blogger/polls.List", "/home/ada/go/pkg/mod/blogger@v1.2.3/polls.go", "a module"},
		{"blog", root, "example.com/shared.Do", "/home/ada/shared/shared.go", "own"}, // of a workspace
		{"blog", root, "github.com/labstack/echo/v4.(*Echo).ServeHTTP", "/home/ada/go/pkg/mod/github.com/labstack/echo/v4@v4.16.0/echo.go", "a module"},
		{"blog", root, "github.com/goquintet/quintet/app.(*request).view", "/home/ada/go/pkg/mod/github.com/goquintet/quintet@v1.0.0/app/request.go", "Quintet"},
		{"blog", root, "github.com/goquintet/quintet/db/pool.(*Pool).Acquire", "/src/quintet/db/pool/acquire.go", "Quintet"},
		{"github.com/goquintet/quintet", root, "github.com/goquintet/quintet/views.Text.Respond", "/src/quintet/views/response.go", "Quintet"},
		{"github.com/goquintet/quintet", root, "github.com/goquintet/quintet/manage/demo/sales.List", "/src/quintet/manage/demo/sales/views.go", "own"},
		{"blog", root, "net/http.HandlerFunc.ServeHTTP", root + "net/http/server.go", "Go"},
		{"blog", root, "panic", root + "runtime/panic.go", "Go"},
		{"blog", "", "net/http.HandlerFunc.ServeHTTP", "net/http/server.go", "Go"}, // with -trimpath
		{"blog", "", "blog/polls.List", "blog/polls/views.go", "own"},
		{"blog", "", "github.com/uptrace/bun.(*DB).Exec", "github.com/uptrace/bun@v1.2.0/db.go", "a module"},
		{"", root, "blog/polls.List", "/home/ada/blog/polls/views.go", "own"},
	} {
		if got := debug.Kind(test.main, test.root, test.function, test.file); got != test.want {
			t.Errorf("%s in %s, of %q, is %q; want %q", test.function, test.file, test.main, got, test.want)
		}
	}
}

func TestPage_TellsWhatTheConnectionsDid(t *testing.T) {
	t.Parallel()
	scope := &debug.Scope{
		Holds: []debug.Hold{
			{Alias: "default", Connection: 3, Asked: time.Millisecond, Got: 2 * time.Millisecond, Back: 12 * time.Millisecond, Idle: 4 * time.Millisecond, Reason: "first byte", At: "polls/views.go:7", BackAt: "polls/views.go:9"},
			{Alias: "other", Asked: 3 * time.Millisecond, Back: time.Second, Err: "no connection available", At: "polls/views.go:8"},
			{Alias: "third", Connection: 1, Asked: 3 * time.Millisecond, Got: 4 * time.Millisecond, At: "polls/views.go:9"},
			{Alias: "fourth", Asked: 3 * time.Millisecond, At: "polls/views.go:10"},
		},
		Statements: []debug.Statement{{Hold: 2, Text: "SELECT ?", At: "polls/views.go:9", Sent: 4 * time.Millisecond, Err: "unique constraint violated"}},
	}
	text := string(debug.New().Text(&debug.Failure{Status: 500, Scope: scope}))
	for _, want := range []string{
		"1 statement in 0s, 1 of them failed; a connection was asked for 4 times, and held for 10ms in all; 1 of them still held when this page was made.",
		"+1ms asked for default at polls/views.go:7, waited 1ms: had #3 for 10ms, 4ms of it idle; by polls/views.go:9; given back at +12ms: first byte",
		"+3ms asked for other at polls/views.go:8, waited 997ms: got none: no connection available",
		"+3ms asked for third at polls/views.go:9, waited 1ms: still held",
		"+3ms asked for fourth at polls/views.go:10: still waits",
		"not answered  SELECT ?  polls/views.go:9 (unique constraint violated)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
}

func TestPage_InParallel(t *testing.T) {
	t.Parallel()
	p := debug.New()
	f := &debug.Failure{Status: 500, Err: errors.Join(errors.New("a"), errors.New("b")), Request: httptest.NewRequest(http.MethodGet, "/?token=abcdef", nil)}
	want, _ := p.HTML(f)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if got, isHTML := p.HTML(f); !isHTML || string(got) != string(want) {
					t.Error("the page is another one")
				}
			}
		})
	}
	all.Wait()
}

package reload_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/goquintet/quintet/manage/reload"
)

// answer is the answer to a browser that has asked for a page.
func answer(text string, headers ...string) *http.Response {
	response := &http.Response{
		StatusCode: http.StatusOK, ContentLength: -1, Body: io.NopCloser(strings.NewReader(text)),
		Header:  http.Header{"Content-Type": {"text/html; charset=utf-8"}},
		Request: &http.Request{Method: http.MethodGet, Header: http.Header{"Sec-Fetch-Dest": {"document"}}},
	}
	for i := 0; i < len(headers); i += 2 {
		response.Header.Set(headers[i], headers[i+1])
	}
	return response
}

const script = "\n<script src=\"/__quintet__/reload.js?7\" async></script>\n"

func TestThePageOfABrowserGetsTheScriptBehindItsLastByte(t *testing.T) {
	t.Parallel()
	for _, length := range []int64{-1, 11} {
		r := answer("<p>polls</p", "Content-Length", "11")
		r.ContentLength = length
		reload.Follow(r)
		body, err := io.ReadAll(iotest.OneByteReader(r.Body))
		if err != nil || string(body) != "<p>polls</p"+script {
			t.Errorf("the page is %q, %v", body, err)
		}
		if length > 0 && (r.ContentLength != int64(len(body)) || r.Header.Get("Content-Length") != "67") {
			t.Errorf("its length is %d, %s, want %d", r.ContentLength, r.Header.Get("Content-Length"), len(body))
		}
	}
}

// TestAPageThatBreaksOffGetsNothing: it must stay broken.
func TestAPageThatBreaksOffGetsNothing(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	r := answer("")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(gone)))
	reload.Follow(r)
	if body, err := io.ReadAll(r.Body); !errors.Is(err, gone) || string(body) != "half" {
		t.Errorf("the page is %q, %v", body, err)
	}
}

// TestWhatIsNoPageOfABrowserIsNotTouched, and neither is one whose policy forbids the
// script.
func TestWhatIsNoPageOfABrowserIsNotTouched(t *testing.T) {
	t.Parallel()
	const policy = "Content-Security-Policy"
	for name, c := range map[string]struct {
		headers []string
		change  func(*http.Response)
		follows bool
	}{
		"a page":                  {follows: true},
		"a page that failed":      {change: func(r *http.Response) { r.StatusCode = 404 }, follows: true},
		"JSON":                    {headers: []string{"Content-Type", "application/json"}},
		"events":                  {headers: []string{"Content-Type", "text/event-stream"}},
		"no type":                 {headers: []string{"Content-Type", ""}},
		"a fragment":              {change: func(r *http.Response) { r.Request.Header.Set("Sec-Fetch-Dest", "empty") }},
		"a frame":                 {change: func(r *http.Response) { r.Request.Header.Set("Sec-Fetch-Dest", "iframe") }},
		"a program's":             {change: func(r *http.Response) { r.Request.Header.Del("Sec-Fetch-Dest") }},
		"the answer to a form":    {change: func(r *http.Response) { r.Request.Method = http.MethodPost }},
		"HEAD":                    {change: func(r *http.Response) { r.Request.Method = http.MethodHead }},
		"a part":                  {change: func(r *http.Response) { r.StatusCode = http.StatusPartialContent }},
		"nothing":                 {change: func(r *http.Response) { r.ContentLength = 0 }},
		"compressed":              {headers: []string{"Content-Encoding", "gzip"}},
		"with a digest":           {headers: []string{"Repr-Digest", "sha-256=:AA==:"}},
		"not to be transformed":   {headers: []string{"Cache-Control", "private, No-Transform"}},
		"a download":              {headers: []string{"Content-Disposition", "attachment; filename=a.html"}},
		"own scripts":             {headers: []string{policy, "default-src 'self'"}, follows: true},
		"no policy for scripts":   {headers: []string{policy, "img-src 'none'; frame-ancestors 'none'"}, follows: true},
		"no scripts":              {headers: []string{policy, "default-src 'self'; script-src 'none'"}},
		"nonces":                  {headers: []string{policy, "script-src 'nonce-abc' 'strict-dynamic' 'self'"}},
		"no elements":             {headers: []string{policy, "script-src 'self'; script-src-elem https://cdn.example"}},
		"no connections":          {headers: []string{policy, "script-src 'self'; connect-src https://api.example"}},
		"the first one counts":    {headers: []string{policy, "script-src 'none'; script-src 'self'"}},
		"a sandbox":               {headers: []string{policy, "sandbox allow-forms"}},
		"two policies":            {headers: []string{policy, "script-src 'self', default-src 'none'"}},
		"a policy that reports":   {headers: []string{policy + "-Report-Only", "default-src 'none'"}},
		"upper case, white space": {headers: []string{policy, "  SCRIPT-SRC  'SELF' ;connect-src 'self'"}, follows: true},
	} {
		r := answer("<p>polls</p>", c.headers...)
		if c.change != nil {
			c.change(r)
		}
		reload.Follow(r)
		body, err := io.ReadAll(r.Body)
		if err != nil || strings.Contains(string(body), script) != c.follows {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
}

package views_test

import (
	"errors"
	"html/template"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goquintet/quintet/views"
)

// buffered is one response of every kind that is rendered before it is sent.
func buffered(status int, header http.Header, cookies []*http.Cookie) map[string]views.Response {
	return map[string]views.Response{
		"Text":      views.Text{status, header, cookies, "body"},
		"HTML":      views.HTML{status, header, cookies, "body"},
		"JSON":      views.JSON{status, header, cookies, "body"},
		"NoContent": views.NoContent{status, header, cookies},
		"File":      views.File{Status: status, Header: header, Cookies: cookies, FS: fstest.MapFS{"a": {Data: []byte("body")}}, Name: "a"},
		"Template":  views.Template{status, header, cookies, "a.html", nil},
	}
}

func pages(t testing.TB, files map[string]string, o views.TemplateOptions) *views.Templates {
	t.Helper()
	folder := make(fstest.MapFS)
	for name, text := range files {
		folder[name] = &fstest.MapFile{Data: []byte(text)}
	}
	o.FS = append(o.FS, folder)
	templates, err := views.NewTemplates(o)
	if err != nil {
		t.Fatal(err)
	}
	return templates
}

func TestResponse_EachKindAnswers(t *testing.T) {
	t.Parallel()
	l := &life{templates: pages(t, map[string]string{"a.html": "<b>{{.}}</b>"}, views.TemplateOptions{})}
	for name, c := range map[string]struct {
		response    views.Response
		status      int
		contentType string
		body        string
	}{
		"Text":               {views.Text{Body: "<hello>"}, 200, "text/plain; charset=utf-8", "<hello>"},
		"empty Text":         {views.Text{}, 200, "text/plain; charset=utf-8", ""},
		"HTML":               {views.HTML{Body: "<hello>"}, 200, "text/html; charset=utf-8", "<hello>"},
		"JSON":               {views.JSON{Value: map[string]any{"a": []int{1}}}, 200, "application/json", `{"a":[1]}`},
		"JSON of nothing":    {views.JSON{}, 200, "application/json", "null"},
		"NoContent":          {views.NoContent{}, 204, "", ""},
		"NoContent accepted": {views.NoContent{Status: 202}, 202, "", ""},
		"Template":           {views.Template{Name: "a.html", Data: "<i>"}, 200, "text/html; charset=utf-8", "<b>&lt;i&gt;</b>"},
		// Django: handlers.tests.HandlerRequestTests.test_handle_accepts_httpstatus_enum_value (HD-009)
		"a constant as status": {views.Text{Status: http.StatusTeapot, Body: "short"}, 418, "text/plain; charset=utf-8", "short"},
		"a type of its own":    {views.Text{Header: http.Header{"content-type": {"text/x"}}}, 200, "text/x", ""},
		"not modified":         {views.Text{Status: 304, Body: "unsent"}, 304, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, l, func(*views.Request) (views.Response, error) { return c.response, nil })
			response := s.get(t)
			if response.StatusCode != c.status || response.Header.Get("Content-Type") != c.contentType {
				t.Errorf("got %v, want %d, %q", response, c.status, c.contentType)
			}
			if got := body(t, response); got != c.body {
				t.Errorf("body %q, want %q", got, c.body)
			}
			if c.status != 204 && c.status != 304 && response.ContentLength != int64(len(c.body)) {
				t.Errorf("Content-Length %d, want %d", response.ContentLength, len(c.body))
			}
			if end := <-s.over; end.err != nil {
				t.Errorf("ended with %v", end)
			}
		})
	}
}

func TestResponse_EachKindHasStatusHeaderAndCookies(t *testing.T) {
	t.Parallel()
	l := &life{templates: pages(t, map[string]string{"a.html": "body"}, views.TemplateOptions{})}
	kinds := buffered(http.StatusAccepted, http.Header{"x-a": {"1", "2"}}, []*http.Cookie{{Name: "c", Value: "v", Path: "/"}})
	for name, response := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recorder, err := respond(t, l, response)
			if h := recorder.Header(); err != nil || recorder.Code != http.StatusAccepted || strings.Join(h["X-A"], " ") != "1 2" || h.Get("Set-Cookie") != "c=v; Path=/" {
				t.Errorf("%d %v %v", recorder.Code, h, err)
			}
		})
	}
}

func TestResponse_HEADHasTheHeadersOfGET(t *testing.T) {
	t.Parallel()
	l := &life{templates: pages(t, map[string]string{"a.html": "body"}, views.TemplateOptions{})}
	for name, response := range buffered(0, nil, nil) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := respondTo(t, l, response, httptest.NewRequestWithContext(t.Context(), http.MethodHead, "/", nil))
			want, _ := respond(t, l, response)
			if err != nil || got.Code != want.Code || got.Body.Len() != 0 {
				t.Errorf("%d %q %v", got.Code, got.Body, err)
			}
			for name := range want.Header() {
				if got.Header().Get(name) != want.Header().Get(name) {
					t.Errorf("%s: %q, want %q", name, got.Header().Get(name), want.Header().Get(name))
				}
			}
		})
	}
}

// Django: httpwrappers.tests.HttpResponseTests.test_newlines_in_headers (HD-052).
func TestHttpResponse_NewlinesInHeaders(t *testing.T) {
	t.Parallel()
	l := &life{templates: pages(t, map[string]string{"a.html": "body"}, views.TemplateOptions{})}
	for says, header := range map[string]http.Header{
		`header "test"`:      {"test": {"a\rb"}},
		`header "X-A"`:       {"X-A": {"fine", "a\nb"}},
		`header "X-B"`:       {"X-B": {"a\x00b"}},
		`header "te\rst"`:    {"te\rst": {"a"}},
		`header "two words"`: {"two words": {"a"}},
		`header ""`:          {"": {"a"}},
	} {
		for name, response := range buffered(0, header, nil) {
			recorder, err := respond(t, l, response)
			wantError(t, err, "views: "+name+": ", says)
			wantNothingSent(t, recorder)
		}
	}
}

func TestResponse_RefusesAStatusThatIsNone(t *testing.T) {
	t.Parallel()
	l := &life{templates: pages(t, map[string]string{"a.html": "body"}, views.TemplateOptions{})}
	for _, status := range []int{-1, 99, 100, 103, 1000} {
		for name, response := range buffered(status, nil, nil) {
			recorder, err := respond(t, l, response)
			wantError(t, err, "views: "+name+": status ")
			wantNothingSent(t, recorder)
		}
	}
}

func TestResponse_RefusesABadCookie(t *testing.T) {
	t.Parallel()
	for _, cookie := range []*http.Cookie{nil, {Name: "a b"}, {Name: "a", Value: "x\ny"}} {
		recorder, err := respond(t, nil, views.Text{Cookies: []*http.Cookie{cookie}})
		wantError(t, err, "views: Text: ", "cookie")
		wantNothingSent(t, recorder)
	}
}

func TestResponse_RefusesALengthThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	recorder, err := respond(t, nil, views.Text{Body: "abc", Header: http.Header{"Content-Length": {"4"}}})
	wantError(t, err, `"Content-Length"`, "says 4", "3 bytes")
	wantNothingSent(t, recorder)
	if _, err := respond(t, nil, views.Text{Body: "abc", Header: http.Header{"Content-Length": {"3"}}}); err != nil {
		t.Error(err)
	}
}

func TestResponse_AddsToTheHeadersThatAreShared(t *testing.T) {
	t.Parallel()
	recorder := httptest.NewRecorder()
	for name, value := range map[string]string{"Set-Cookie": "session=1", "Vary": "Cookie", "X-Frame-Options": "DENY", "Content-Type": "a/b"} {
		recorder.Header().Set(name, value)
	}
	response := views.Text{
		Header:  http.Header{"Vary": {"Accept"}, "X-Frame-Options": {"SAMEORIGIN"}, "Set-Cookie": {"b=2"}},
		Cookies: []*http.Cookie{{Name: "c", Value: "3"}},
	}
	if err := response.Respond(recorder, views.NewRequest(httptest.NewRequest(http.MethodGet, "/", nil), nil)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Set-Cookie": "session=1|b=2|c=3", "Vary": "Cookie|Accept", "X-Frame-Options": "SAMEORIGIN", "Content-Type": "text/plain; charset=utf-8",
	} {
		if got := strings.Join(recorder.Header()[name], "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// failingValue fails to encode after it has begun to.
type failingValue struct{}

func (failingValue) MarshalJSON() ([]byte, error) { return nil, errBroken }

func TestResponse_AnErrorWhileRenderingSendsNothing(t *testing.T) {
	t.Parallel()
	l := &life{templates: pages(t, map[string]string{"a.html": "begun {{fail}}"}, views.TemplateOptions{
		Funcs: template.FuncMap{"fail": func() (string, error) { return "", errBroken }},
	})}
	for name, response := range map[string]views.Response{
		"JSON":     views.JSON{Value: []any{"begun", failingValue{}}},
		"Template": views.Template{Name: "a.html"},
	} {
		recorder, err := respond(t, l, response)
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: %v, want the error of the value", name, err)
		}
		wantError(t, err, "views: ")
		wantNothingSent(t, recorder)
	}
}

func TestResponse_AClientThatLeavesIsErrClientGone(t *testing.T) {
	t.Parallel()
	s := serve(t, &life{}, func(*views.Request) (views.Response, error) {
		return views.Text{Body: strings.Repeat("x", 64<<20)}, nil
	})
	conn := s.dial(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if end := <-s.over; !errors.Is(end.err, views.ErrClientGone) {
		t.Errorf("ended with %v", end)
	}
}

// Django: httpwrappers.tests.HttpResponseTests.test_unsafe_redirect (HD-058).
func TestHttpResponse_UnsafeRedirect(t *testing.T) {
	t.Parallel()
	for _, to := range []string{
		`data:text/html,<script>window.alert("xss")</script>`,
		"mailto:test@example.com",
		"file:///etc/passwd",
		"javascript:alert(1)",
		"JavaScript:alert(1)",
		" javascript:alert(1)",
		"java\tscript:alert(1)",
		"\x01javascript:alert(1)",
		"/a\r\nSet-Cookie: b=c",
		"/a\nb",
		"/a\x00b",
		"",
		"/%zz",
	} {
		recorder, err := respond(t, nil, views.Redirect{To: to})
		wantError(t, err, "views: Redirect: To ")
		wantNothingSent(t, recorder)
	}
}

func TestResponse_RefusesWhatIsSaidTwice(t *testing.T) {
	t.Parallel()
	for says, response := range map[string]views.Response{
		`"x-a" is also there as "X-A"`: views.Text{Header: http.Header{"x-a": {"1"}, "X-A": {"2"}}},
		`Location, "/header"`:          views.Redirect{To: "/field", Header: http.Header{"location": {"/header"}}},
		"Content-Length":               views.Redirect{To: "/field", Header: http.Header{"Content-Length": {"7"}}},
	} {
		recorder, err := respond(t, nil, response)
		wantError(t, err, says)
		wantNothingSent(t, recorder)
	}
	header := http.Header{"X-A": {"b"}}
	if _, err := respond(t, nil, views.Redirect{To: "/", Header: header}); err != nil || len(header) != 1 {
		t.Errorf("%v; the header became %v", err, header)
	}
}

func TestRedirect_Answers(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"/polls/?a=b&c=%20#top": "/polls/?a=b&c=%20#top",
		"next":                  "next",
		"../up/":                "../up/",
		"?page=2":               "?page=2",
		"https://example.com/a": "https://example.com/a",
		"HTTP://example.com":    "HTTP://example.com",
		"ftp://example.com/":    "ftp://example.com/",
		"//cdn.example.com/":    "//cdn.example.com/",
		"/søk?q=blå bær":        "/s%C3%B8k?q=bl%C3%A5%20b%C3%A6r",
	} {
		recorder, err := respond(t, nil, views.Redirect{To: to})
		if got := recorder.Header().Get("Location"); err != nil || got != want || recorder.Code != http.StatusFound {
			t.Errorf("%q: %d %q %v, want 302 %q", to, recorder.Code, got, err, want)
		}
	}
	for status, fine := range map[int]bool{301: true, 302: true, 303: true, 307: true, 308: true, 200: false, 300: false, 304: false, 404: false} {
		recorder, err := respond(t, nil, views.Redirect{Status: status, To: "/"})
		if fine != (err == nil) || fine && recorder.Code != status {
			t.Errorf("%d: %d %v", status, recorder.Code, err)
		}
		if !fine {
			wantNothingSent(t, recorder)
		}
	}
}

// Django: httpwrappers.tests.HttpResponseSubclassesTests.test_not_allowed (HD-057).
func TestHttpResponseSubclasses_NotAllowed(t *testing.T) {
	t.Parallel()
	recorder, err := respond(t, nil, views.Text{Status: http.StatusMethodNotAllowed, Header: http.Header{"Allow": {"GET"}}, Body: "Only GET."})
	if err != nil || recorder.Code != http.StatusMethodNotAllowed || recorder.Header().Get("Allow") != "GET" || recorder.Body.String() != "Only GET." {
		t.Errorf("%v %v", recorder, err)
	}
}

func TestTemplate_WithoutASiteSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := respond(t, nil, views.Template{Name: "a.html"})
	wantError(t, err, `"a.html"`, "no templates", "Cycle")
}

// The release of a connection hangs on the writer: it must not be touched before
// everything has been rendered.
func TestResponse_RendersBeforeItTouchesTheWriter(t *testing.T) {
	t.Parallel()
	touched := false
	w := touchy{httptest.NewRecorder(), &touched}
	l := &life{templates: pages(t, map[string]string{"a.html": "{{lazy}}"}, views.TemplateOptions{
		Funcs: template.FuncMap{"lazy": func(*views.Request) bool { return touched }},
	})}
	request := views.NewRequest(httptest.NewRequest(http.MethodGet, "/", nil), l)
	if err := (views.Template{Name: "a.html"}).Respond(w, request); err != nil || w.Body.String() != "false" {
		t.Errorf("%q, %v", w.Body, err)
	}
}

type touchy struct {
	*httptest.ResponseRecorder
	touched *bool
}

func (w touchy) Header() http.Header {
	*w.touched = true
	return w.ResponseRecorder.Header()
}

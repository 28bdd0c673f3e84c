package views_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/goquintet/quintet/views"
)

func TestRequest_Query(t *testing.T) {
	t.Parallel()
	r := views.NewRequest(httptest.NewRequest(http.MethodGet, "/?a=1&a=2&b=&c=%zz&d=x+y", nil), nil)
	for name, want := range map[string]string{"a": "1", "b": "", "c": "", "d": "x y", "missing": ""} {
		if got := r.Query(name); got != want {
			t.Errorf("Query(%q) = %q, want %q", name, got, want)
		}
	}
}

// Django: handlers.tests.AsyncHandlerRequestTests.test_root_path_prefix_boundary
// (HD-016).
func TestRequest_Prefix(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ mounted, asked, want string }{
		{"", "/polls/1?next=/x", ""},
		{"/shop", "/shop/polls/1?next=/x", "/shop"},
		{"/shop", "/shop/", "/shop"},
		{"/shop", "/shop", "/shop"},
		{"/shop/", "/shop/polls", "/shop"},
		{"/a/b", "/a/b/a/b/c", "/a/b"},
		{"/shop", "http://example.com/shop/polls", "/shop"},
		{"/gesch%C3%A4ft", "/gesch%C3%A4ft/k%C3%A4se", "/gesch%C3%A4ft"},
		{"/shop", "/shop/a%2Fb", "/shop"},
	} {
		var got string
		handler := http.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = views.NewRequest(r, nil).Prefix()
		}))
		r := httptest.NewRequest(http.MethodGet, c.asked, nil)
		r.RequestURI = c.asked
		if c.mounted != "" {
			prefix := c.mounted
			if r.URL.Path != c.asked && r.URL.RawPath == "" { // StripPrefix knows the decoded path
				prefix = map[string]string{"/gesch%C3%A4ft": "/geschäft"}[c.mounted]
				if prefix == "" {
					prefix = c.mounted
				}
			}
			handler = http.StripPrefix(prefix, handler)
		}
		handler.ServeHTTP(httptest.NewRecorder(), r)
		if got != c.want {
			t.Errorf("%q under %q: prefix %q, want %q", c.asked, c.mounted, got, c.want)
		}
	}
}

func TestRequest_PrefixIsEmptyWhenThePathWasRewritten(t *testing.T) {
	t.Parallel()
	for asked, path := range map[string]string{
		"/polls":     "/polls/", // a slash was added
		"/shoppolls": "polls",   // cut in the middle of a segment
		"*":          "/",
		"%":          "/",
		"":           "/",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RequestURI, r.URL.Path = asked, path
		if got := views.NewRequest(r, nil).Prefix(); got != "" {
			t.Errorf("%q rewritten to %q: prefix %q", asked, path, got)
		}
	}
}

func TestRequest_ReverseAsksTheSite(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if got, err := views.NewRequest(r, &life{}).Reverse("poll", 7); err != nil || got != "/polls/7" {
		t.Errorf("%q, %v", got, err)
	}
	_, err := views.NewRequest(r, nil).Reverse("poll", 7)
	wantError(t, err, "views: ", "no site", `"poll"`)
}

func TestRequest_WithKeepsEverythingButTheContext(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/polls/7", nil)
	r.SetPathValue("id", "7")
	r.Pattern = "/polls/{id}"
	before := views.NewRequest(r, &life{})
	after := before.With(context.WithValue(t.Context(), key{}, "new"))
	if after.Context().Value(key{}) != "new" || before.Context().Value(key{}) != nil {
		t.Error("the context is not the new one's alone")
	}
	if after.PathValue("id") != "7" || after.Pattern != "/polls/{id}" {
		t.Errorf("PathValue %q, Pattern %q", after.PathValue("id"), after.Pattern)
	}
	if got, err := after.Reverse("poll", 1); err != nil || got != "/polls/1" {
		t.Errorf("Reverse: %q, %v", got, err)
	}
}

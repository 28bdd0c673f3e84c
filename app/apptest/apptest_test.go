package apptest_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/signals"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestClient_AnAnswerKnowsWhatTheSiteDidForIt(t *testing.T) {
	onEach(t, urls, func(t *testing.T, site *apptest.Site) {
		if err := insert(site.Context, "first"); err != nil {
			t.Fatal(err)
		}
		r := site.Client.Get("/")
		if r.StatusCode != http.StatusOK || r.Text() != "<ul><li>first</li></ul>" || r.Route != "GET /{$}" && r.Route != "GET /" {
			t.Errorf("status %d, route %q, %q", r.StatusCode, r.Route, r.Text())
		}
		if tpl := r.Template(); tpl.Name != "notes/list.html" || len(tpl.Data.([]note)) != 1 {
			t.Errorf("template %+v", tpl)
		}
		if len(r.Queries) != 1 || !strings.HasPrefix(r.Queries[0].SQL, "SELECT") || r.Queries[0].Alias != "default" ||
			!strings.HasPrefix(r.Queries[0].At, "apptest/notes_test.go:") {
			t.Errorf("queries %+v", r.Queries)
		}
		var order []string
		for _, event := range r.Signals {
			switch event.(type) {
			case signals.RequestStarted:
				order = append(order, "started")
			case signals.TemplateRendered:
				order = append(order, "rendered")
			case signals.ConnectionReleased:
				order = append(order, "released")
			case signals.ResponseStarted:
				order = append(order, "responded")
			case signals.RequestFinished:
				order = append(order, "finished")
			}
		}
		if got := strings.Join(order, " "); got != "started rendered released responded finished" {
			t.Errorf("signals: %s", got)
		}
		if released := apptest.Sent[signals.ConnectionReleased](r); len(released) != 1 || released[0].Reason != "first byte" || released[0].Queries != 1 {
			t.Errorf("released: %+v", released)
		}
		if !r.ReleasedBeforeBody || r.Held != nil || r.Err != nil || r.Broken != nil {
			t.Errorf("released before the body: %v, held %v, err %v, broken %v", r.ReleasedBeforeBody, r.Held, r.Err, r.Broken)
		}
	})
}

func TestClient_ReleasedBeforeBodyIsFalseForWhoHolds(t *testing.T) {
	onEach(t, urls, func(t *testing.T, site *apptest.Site) {
		for target, what := range map[string]string{"/held": "SELECT ?", "/kept": "count"} {
			r := site.Client.Get(target)
			if r.StatusCode != http.StatusOK || r.ReleasedBeforeBody || len(r.Held) != 1 || !strings.Contains(r.Held[0].LastStatement, what) {
				t.Errorf("%s: status %d, released %v, held %v, %v", target, r.StatusCode, r.ReleasedBeforeBody, r.Held, r.Err)
			}
		}
	})
}

func TestClient_StreamsAreReadChunkByChunk(t *testing.T) {
	onEach(t, urls, func(t *testing.T, site *apptest.Site) {
		for _, text := range []string{"a", "b"} {
			if err := insert(site.Context, text); err != nil {
				t.Fatal(err)
			}
		}
		s := site.Client.Stream("/export")
		var chunks []string
		for chunk, err := range s.Chunks() {
			if err != nil {
				t.Fatal(err)
			}
			chunks = append(chunks, string(chunk))
			if !s.ReleasedBeforeBody {
				t.Errorf("held: %v", s.Held)
			}
		}
		if got := strings.Join(chunks, ""); got != "a\nb\nexported\n" || string(s.Content) != got {
			t.Errorf("%q, content %q", chunks, s.Content)
		}
		if n, err := count(site.Context); n != 3 || err != nil {
			t.Errorf("%d notes, %v", n, err)
		}
	})
}

func TestClient_AStreamThatIsBrokenOffSaysSo(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	r := site.Client.Get("/broken")
	if r.StatusCode != http.StatusOK || r.Text() != "half" || !errors.Is(r.Broken, io.ErrUnexpectedEOF) || !errors.Is(r.Err, errSpilt) {
		t.Errorf("status %d, %q, broken %v, err %v", r.StatusCode, r.Text(), r.Broken, r.Err)
	}
	if failed := apptest.Sent[signals.RequestFailed](r); len(failed) != 1 || !failed[0].Streaming {
		t.Errorf("failed: %+v", failed)
	}
}

func TestClient_AnErrorOfTheViewIsKeptBesideItsAnswer(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	if r := site.Client.Get("/fail"); r.StatusCode != http.StatusInternalServerError || !errors.Is(r.Err, errSpilt) || strings.Contains(r.Text(), "ink") {
		t.Errorf("status %d, err %v, %q", r.StatusCode, r.Err, r.Text())
	}
	var panicked *app.PanicError
	if r := site.Client.Get("/panic"); r.StatusCode != http.StatusInternalServerError || !errors.As(r.Err, &panicked) || panicked.Value != "ink" {
		t.Errorf("status %d, err %v", r.StatusCode, r.Err)
	}
	if r := site.Client.Get("/nowhere"); r.StatusCode != http.StatusNotFound || r.Err != nil || r.Route != "" {
		t.Errorf("status %d, err %v, route %q", r.StatusCode, r.Err, r.Route)
	}
}

func TestClient_RedirectsAreTheAnswerUnlessTheyAreFollowed(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	if r := site.Client.Get("/old"); r.StatusCode != http.StatusFound || r.Header.Get("Location") != "/older" || r.RedirectChain != nil {
		t.Errorf("status %d, chain %v", r.StatusCode, r.RedirectChain)
	}
	r := site.Client.Get("/old", apptest.Follow())
	if want := []apptest.Redirect{{302, "/older"}, {302, "/"}}; r.StatusCode != http.StatusOK || len(r.RedirectChain) != 2 || r.RedirectChain[0] != want[0] || r.RedirectChain[1] != want[1] {
		t.Errorf("status %d, chain %v, want %v", r.StatusCode, r.RedirectChain, want)
	}
	r = site.Client.Post("/", apptest.Form(url.Values{"text": {"new"}}), apptest.Follow())
	if r.StatusCode != http.StatusOK || r.Request.Method != http.MethodGet || r.Text() != "<ul><li>new</li></ul>" {
		t.Errorf("status %d, method %s, %q", r.StatusCode, r.Request.Method, r.Text())
	}
	if r := site.Client.Get("/away", apptest.Follow()); r.StatusCode != http.StatusFound {
		t.Errorf("another host was asked: %d", r.StatusCode)
	}
}

func TestClient_SendsFormsFilesJSONHeadersAndCookies(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	site.Client.Header.Set("Ink", "blue")
	for name, ask := range map[string]struct {
		options []apptest.RequestOption
		want    map[string]string
	}{
		"a form": {[]apptest.RequestOption{apptest.Form(url.Values{"text": {"a&b"}})}, map[string]string{"text": "a&b", "ink": "blue", "host": "testserver"}},
		"files": {
			[]apptest.RequestOption{apptest.Multipart(url.Values{"text": {"with"}}, apptest.File{Field: "scan", Name: "a.txt", Content: strings.NewReader("ä")})},
			map[string]string{"text": "with", "scan": "a.txt: ä"},
		},
		"JSON":      {[]apptest.RequestOption{apptest.JSON(map[string]int{"n": 1})}, map[string]string{"json": `{"n":1}`, "type": "application/json"}},
		"a header":  {[]apptest.RequestOption{apptest.Header("Ink", "red"), apptest.Method("PURGE")}, map[string]string{"ink": "red", "method": "PURGE"}},
		"elsewhere": {[]apptest.RequestOption{apptest.To("localhost")}, map[string]string{"host": "localhost"}},
	} {
		r := site.Client.Post("/echo", ask.options...)
		var got map[string]string
		if err := r.JSON(&got); err != nil || r.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d, %v", name, r.StatusCode, err)
		}
		for key, want := range ask.want {
			if got[key] != want {
				t.Errorf("%s: %s is %q, want %q", name, key, got[key], want)
			}
		}
	}
	seen := func(c *apptest.Client) (got struct{ Seen string }) {
		if err := c.Get("/echo").JSON(&got); err != nil {
			t.Error(err)
		}
		return got
	}
	if got := seen(site.Client); got.Seen != "yes" {
		t.Errorf("the cookie did not come back: %q", got.Seen)
	}
	other := site.NewClient()
	if got := seen(other); got.Seen != "" {
		t.Errorf("another client has the cookie: %q", got.Seen)
	}
	other.SetCookies("/", &http.Cookie{Name: "seen", Value: "given"})
	if got := seen(other); got.Seen != "given" {
		t.Errorf("a cookie that was set is %q", got.Seen)
	}
	if cookies := site.Client.Cookies("/"); len(cookies) != 1 || cookies[0].Value != "yes" {
		t.Errorf("cookies: %v", cookies)
	}
}

func TestClient_ReadsServerSentEvents(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	var got []apptest.Event
	for event, err := range site.Client.Stream("/events").Events() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, event)
	}
	want := []apptest.Event{{ID: "1", Event: "tick", Data: "a\nb"}, {ID: "1", Event: "message", Data: "c"}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestSite_LiveServerServesTheSameSite(t *testing.T) {
	onEach(t, urls, func(t *testing.T, site *apptest.Site) {
		if err := insert(site.Context, "here"); err != nil {
			t.Fatal(err)
		}
		live := site.LiveServer()
		r, err := http.Get(live.URL + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		content, err := io.ReadAll(r.Body)
		if r.StatusCode != http.StatusOK || string(content) != "<ul><li>here</li></ul>" || err != nil {
			t.Errorf("status %d, %q, %v", r.StatusCode, content, err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
}

func TestClient_EveryMethodAndRequestsMadeByHand(t *testing.T) {
	t.Parallel()
	site := apptest.New(t, on(dbtest.SQLite, urls))
	byHand, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, "/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	for method, r := range map[string]*apptest.Response{
		"PUT": site.Client.Put("/echo"), "PATCH": site.Client.Patch("/echo"), "DELETE": site.Client.Delete("/echo"),
		"OPTIONS": site.Client.Do(byHand),
		"POST":    site.Client.Post("/echo", apptest.Body("text/plain", strings.NewReader("ink"))),
	} {
		var got struct{ Method, Host string }
		if err := r.JSON(&got); err != nil || got.Method != method || got.Host != apptest.Host {
			t.Errorf("%s: %+v, status %d, %v", method, got, r.StatusCode, err)
		}
	}
}

package app_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

// planted are the secrets of the failing site and of those who ask it. Its code has them
// under these names only: its source is shown.
func planted(what string) string { return "planted/" + what + "+swordfish" }

const plantedMark = "swordfish"

// failingSettings are those of a site with secrets in all places, and a second database
// that nobody can reach.
func failingSettings(t *testing.T, database db.Settings, isDebug bool) app.Settings {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil { // nobody listens there from now on
		t.Fatal(err)
	}
	settings := withDatabase(database)
	settings.Debug, settings.SecretKey = isDebug, app.Secret(planted("secret-key"))
	settings.Databases["dead"] = db.Settings{
		Engine: "postgres", Name: "shop", User: "shop", Host: "127.0.0.1", Port: port, Password: db.Secret(planted("password")),
		ConnectTimeout: time.Second, AcquireTimeout: time.Second,
		Options: map[string]string{"application_name": "shop"},
	}
	return settings
}

// askedWithSecrets is a request with a secret in all places.
func askedWithSecrets(r *http.Request) {
	html(r)
	barelyAskedWithSecrets(r)
}

func barelyAskedWithSecrets(r *http.Request) {
	r.AddCookie(&http.Cookie{Name: "sessionid", Value: planted("session")})
	r.AddCookie(&http.Cookie{Name: "theme", Value: planted("other-cookie")})
	r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("ada:"+planted("basic"))))
	r.Header.Add("X-Api-Key", planted("api-key"))
	r.Header.Add("X-Csrftoken", planted("csrf"))
	r.Header.Set("Proxy-Authorization", "Bearer "+planted("bearer"))
	r.Header.Set("Referer", "https://ada:"+planted("referer-password")+"@example.com/?access_token="+url.QueryEscape(planted("referer")))
	query := r.URL.Query()
	query.Set("token", planted("query"))
	query.Set("page", "seven")
	r.URL.RawQuery = query.Encode()
}

func plantedForm() io.Reader {
	return strings.NewReader(url.Values{"password": {planted("form")}, "name": {"Ada"}, "csrfmiddlewaretoken": {planted("form-csrf")}}.Encode())
}

// failingTemplates have one that cannot be parsed, and one that cannot be executed.
func failingTemplates() fstest.MapFS {
	return fstest.MapFS{
		"polls/broken.html": {Data: []byte("<p>\n{{if}}\n</p>\n")},
		"polls/fails.html":  {Data: []byte("<p>\n<b>\n{{.Nothing.At.All}}\n</b>\n</p>\n")},
		"polls/names.html":  {Data: []byte("<p>\n{{template \"polls/nowhere.html\" .}}\n")},
	}
}

// failures is an app whose views fail, one in each way.
type failures struct{ voted signals.Signal[int] }

func (f *failures) routes(s *app.Site) {
	s.GET("/", text("home"), app.Name("home"))
	s.GET("/panics", f.panics)
	s.GET("/indexes", f.indexes)
	s.GET("/returns", f.returns)
	s.GET("/database", f.database)
	s.GET("/atomic", f.atomic)
	s.GET("/dead", f.dead)
	s.GET("/exhausted", f.exhausted)
	s.GET("/held", f.held)
	s.GET("/receiver", f.receiver)
	s.GET("/broken", f.template("polls/broken.html"))
	s.GET("/fails", f.template("polls/fails.html"))
	s.GET("/names", f.template("polls/names.html"))
	s.GET("/stream", f.stream)
	s.GET("/gone", f.gone)
	s.GET("/teapot", f.teapot)
	s.GET("/reset/{token}", f.returns)
	s.POST("/form", f.form)
	s.GET("/mute", f.mute)
	s.GET("/evil", f.evil)
	s.GET("/echoes", f.echoes)
}

type request = *views.Request

func (f *failures) panics(r request) (views.Response, error) {
	vote(r.Context())
	return nil, nil
}

func vote(context.Context) { panic("<oops>") }

func (f *failures) indexes(r request) (views.Response, error) {
	return views.Text{Body: []string{}[len(r.URL.Path):][0]}, nil
}

func (f *failures) returns(request) (views.Response, error) {
	return nil, fmt.Errorf("count the votes: %w", errors.Join(errScene, io.ErrUnexpectedEOF))
}

func (f *failures) database(r request) (views.Response, error) {
	ctx := r.Context()
	if err := runs(ctx, "SELECT '"+planted("statement")+"'"); err != nil {
		return nil, err
	}
	return nil, f.find(ctx)
}

func (f *failures) find(ctx context.Context) error {
	if err := runs(ctx, "SELECT '"+planted("value")+"' FROM nothing_at_all"); err != nil {
		return fmt.Errorf("find the poll %s: %w", planted("value"), err)
	}
	return nil
}

func (f *failures) atomic(r request) (views.Response, error) {
	return nil, db.Atomic(r.Context(), func(ctx context.Context) error {
		_ = runs(ctx, "SELECT '"+planted("value")+"' FROM nothing_at_all")
		return runs(ctx, "SELECT '"+planted("later")+"'")
	})
}

func (f *failures) dead(r request) (views.Response, error) {
	_, err := db.Using(r.Context(), "dead").ExecContext(r.Context(), "SELECT 1")
	return nil, err
}

func (f *failures) exhausted(request) (views.Response, error) {
	return nil, &db.AcquireError{Alias: "default", Kind: "exhausted", Waited: time.Second, Holders: []db.Holder{
		{Name: "GET /slow", At: "demo/slow.go:12", Held: time.Minute, Idle: time.Minute, LastStatement: "SELECT ? FROM sales"},
	}}
}

func (f *failures) held(r request) (views.Response, error) {
	return views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
		rows, err := db.From(r.Context()).QueryContext(r.Context(), "SELECT 1")
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		yield([]byte("first"), nil)
	}}, nil
}

func (f *failures) receiver(r request) (views.Response, error) {
	return nil, f.voted.Send(r.Context(), 1)
}

func (f *failures) template(name string) views.View {
	return func(request) (views.Response, error) { return views.Template{Name: name, Data: map[string]any{}}, nil }
}

func (f *failures) stream(request) (views.Response, error) {
	return views.StreamingResponse{Body: func(func([]byte, error) bool) { panic("before the first chunk") }}, nil
}

func (f *failures) gone(request) (views.Response, error) {
	return nil, &views.Error{Status: http.StatusNotFound, Message: "This poll has ended.", Err: errScene}
}

func (f *failures) teapot(request) (views.Response, error) {
	return nil, &views.Error{Status: http.StatusTeapot, Message: "Short and stout.", Err: errScene}
}

func (f *failures) form(r request) (views.Response, error) {
	var form struct{ Name, Password string }
	if err := r.Bind(&form); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%s may not sign in with %s", form.Name, form.Password)
}

func (f *failures) mute(request) (views.Response, error) { return nil, &muteError{} }

// muteError cannot say what it is.
type muteError struct{}

func (*muteError) Error() string { panic("it says nothing") }

func (f *failures) evil(request) (views.Response, error) { return nil, &evilError{} }

// evilError panics with whatever it is asked.
type evilError struct{}

func (*evilError) Error() string  { panic(&evilError{}) }
func (*evilError) Unwrap() error  { panic("unwraps") }
func (*evilError) Hint() string   { panic("hints") }
func (*evilError) String() string { panic("strings") }

// echoes returns what the client has sent.
func (f *failures) echoes(r request) (views.Response, error) {
	session, err := r.Cookie("sessionid")
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%s and %s and %s", session.Value, r.Header.Get("X-Api-Key"), app.From(r.Context()).Settings().Databases["dead"].Password)
}

// failing makes the site of the failures.
func failing(t *testing.T, settings app.Settings, change ...func(*app.Options)) *stage {
	t.Helper()
	f := &failures{}
	f.voted.ConnectOnce("counts", func(context.Context, int) error { return errScene })
	options := app.Options{Routes: f.routes, Templates: failingTemplates()}
	if !settings.Debug {
		options.Templates = nil // broken ones do not start
	}
	for _, c := range change {
		c(&options)
	}
	return play(t, settings, options)
}

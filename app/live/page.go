package live

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/goquintet/quintet/views"
)

// Root is the path of the page, and what those of its parts begin with.
const Root = "/__quintet__/"

const (
	frameTime  = 250 * time.Millisecond
	adviceTime = 8 // frames between two advices
	mostBody   = 1 << 10
	// policy lets the page have what is its own, and nothing else.
	policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

//go:embed page.html page.css page.js icon.svg
var files embed.FS

// Page is what shows the records, below [Root].
type Page struct {
	Recorder *Recorder
	// Process returns the process that the page shows.
	Process func() Process
	// Site returns the numbers of the site of this moment.
	Site func() Site
	// Cycle returns the life of a request that is served by a site. Nil serves
	// outside of one; then nothing can be explained.
	Cycle func(r *http.Request) views.Cycle
}

// Handler returns what serves the page.
func (p *Page) Handler() http.Handler {
	page := template.Must(template.ParseFS(files, "page.html"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Root+"{$}", func(w http.ResponseWriter, r *http.Request) { p.document(w, page) })
	for name, contentType := range map[string]string{
		"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		mux.HandleFunc("GET "+Root+name, func(w http.ResponseWriter, r *http.Request) { serveFile(w, name, contentType) })
	}
	mux.HandleFunc("GET "+strings.TrimSuffix(Root, "/"), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", strings.TrimPrefix(Root, "/")) // wherever the site is mounted
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("GET "+Root+"events", p.events)
	mux.HandleFunc("GET "+Root+"records/{id}", p.record)
	mux.HandleFunc("GET "+Root+"advice", p.advice)
	if p.Cycle != nil {
		mux.HandleFunc("POST "+Root+"explain", p.explain)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "no-referrer")
		mux.ServeHTTP(w, r)
	})
}

// document is the page as it is without a script: the numbers of this moment.
func (p *Page) document(w http.ResponseWriter, page *template.Template) {
	var b bytes.Buffer
	err := page.Execute(&b, struct {
		Process   Process
		Databases []databaseFrame
	}{p.Process(), p.Recorder.databases()})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	send(w, b.Bytes())
}

func serveFile(w http.ResponseWriter, name, contentType string) {
	content, err := files.ReadFile(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	send(w, content)
}

// send writes an answer. A client that has left needs none.
func send(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

func sendJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has left needs none
}

// events is the stream of frames.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	closed := p.Recorder.Open()
	defer closed()
	var cycle views.Cycle
	if p.Cycle != nil {
		cycle = p.Cycle(r)
	}
	response := views.Events(func(yield func(views.Event[frame], error) bool) {
		ctx, v := r.Context(), &viewer{recorder: p.Recorder}
		for n := 0; ; n++ {
			f := v.frame()
			f.Debug, f.Site = p.Cycle != nil, p.Site()
			if n == 0 {
				process := p.Process()
				f.Process = &process
			}
			if n%adviceTime == 0 {
				f.Advice = p.Recorder.Advise()
			}
			if !yield(views.Event[frame]{Data: f, Retry: retry(n)}, nil) {
				return
			}
			if views.Sleep(ctx, frameTime) != nil {
				return // nobody looks any more, or the site stops
			}
		}
	})
	response.Close = closed
	if err := response.Respond(w, views.NewRequest(r, cycle)); err != nil && !errors.Is(err, views.ErrClientGone) {
		panic(http.ErrAbortHandler) // the page connects again
	}
}

// retry is said once: how soon the page comes again.
func retry(n int) time.Duration {
	if n > 0 {
		return 0
	}
	return time.Second
}

type answer struct {
	Plan    []string `json:"plan,omitempty"`
	Problem string   `json:"problem,omitempty"`
}

// record is one record in full.
func (p *Page) record(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	found := p.Recorder.find(id)
	if err != nil || found == nil {
		sendJSON(w, http.StatusNotFound, answer{Problem: "This request is not kept any more: newer ones have taken its place."})
		return
	}
	d := found.details()
	d.Explains = p.Cycle != nil
	sendJSON(w, http.StatusOK, d)
}

// mostRecording is how long one may ask to have recorded.
const mostRecording = time.Minute

// advice records for so long as "for" says, and says what the load needs.
func (p *Page) advice(w http.ResponseWriter, r *http.Request) {
	closed := p.Recorder.Open()
	defer closed()
	if text := r.FormValue("for"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > mostRecording {
			sendJSON(w, http.StatusBadRequest, answer{Problem: "for is a time such as 10s, a minute at most"})
			return
		}
		if recorded := p.Recorder.Recorded(); recorded < d && views.Sleep(r.Context(), d-recorded) != nil {
			return // nobody waits any more
		}
	}
	advice := p.Recorder.Advise()
	if advice == nil {
		advice = []Advice{}
	}
	sendJSON(w, http.StatusOK, advice)
}

// explain answers with the plan of a statement that was recorded. It takes no statement
// from outside.
func (p *Page) explain(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Record    int64 `json:"record"`
		Statement int   `json:"statement"`
	}
	// A page of somebody else cannot send this type without being asked who it is.
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		sendJSON(w, http.StatusUnsupportedMediaType, answer{Problem: "it takes application/json"})
		return
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, mostBody)).Decode(&asked); err != nil {
		sendJSON(w, http.StatusBadRequest, answer{Problem: "it takes record and statement"})
		return
	}
	plan, err := p.Recorder.explain(r.Context(), asked.Record, asked.Statement)
	if problem, ok := errors.AsType[*unexplainedError](err); ok {
		sendJSON(w, http.StatusOK, answer{Problem: problem.problem})
		return
	}
	if err != nil {
		problem := "the database cannot be asked: " + kind(err)
		if errors.Is(err, context.Canceled) {
			return
		}
		sendJSON(w, http.StatusServiceUnavailable, answer{Problem: problem})
		return
	}
	sendJSON(w, http.StatusOK, answer{Plan: plan})
}

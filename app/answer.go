package app

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/views"
)

// answer answers with an error page. Nothing has been sent yet.
//
// The page is the template "404.html" of the site, or whatever the status is, and
// "500.html" for every status from there on; it is given an [ErrorPage]. Without
// one, and when it fails in its turn, it is a plain page, HTML or text. With DEBUG
// it is the page that tells everything.
func (q *request) answer(w http.ResponseWriter, r *http.Request, err error) {
	defer q.lastResort(w)
	page := q.errorPage(err)
	switch {
	case q.clientGone(err) && (q.http.Context().Err() != nil || errors.Is(err, io.ErrUnexpectedEOF)):
		q.note(err)
		q.writer.abort()
		return
	case q.shutDown(err) && accepts(r, "text/event-stream"):
		q.note(err)
		q.comeAgain(w)
		return
	case q.nobodys(err):
		q.note(err)
	case page.Status < http.StatusInternalServerError:
		q.refuse(err)
	default:
		q.fail(err)
	}
	header := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Disposition", "Etag", "Last-Modified", "Cache-Control"} {
		header.Del(name)
	}
	if page.Status == http.StatusServiceUnavailable && header.Get("Retry-After") == "" {
		// Spread, so that those who were refused together do not return together.
		header.Set("Retry-After", strconv.Itoa(1+rand.IntN(5)))
	}
	switch {
	case q.technical(page.Status):
		q.explain(w, r, page, err)
	case q.custom(w, r, page, err):
	case q.site.technical != nil:
		q.explain(w, r, page, err)
	default:
		q.plain(w, r, page)
	}
}

// lastResort is deferred around an answer: an error whose methods panic, and whatever
// else goes wrong with a page, is answered with as little as there can be.
func (q *request) lastResort(w http.ResponseWriter) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it in this way
		panic(v)
	}
	err := panicError(v)
	if q.writer.started.Load() {
		q.abort(err)
		panic(http.ErrAbortHandler)
	}
	q.fail(err)
	header := w.Header()
	header.Del("Content-Length")
	header.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	if _, err := io.WriteString(w, "500 Internal Server Error\n"); err != nil {
		q.note(fmt.Errorf("%w: %w", views.ErrClientGone, err))
	}
}

// comeAgain answers an EventSource that comes while the site stops. After a 503 it
// would never ask again; after a stream that is over it does, with the ID of its last
// event, and on another connection: this one closes.
func (q *request) comeAgain(w http.ResponseWriter) {
	header := w.Header()
	header.Del("Content-Length")
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache")
	header.Set("Connection", "close")
	w.WriteHeader(http.StatusOK)
	if _, err := io.WriteString(w, ": the site is shutting down\n\n"); err != nil {
		q.note(fmt.Errorf("%w: %w", views.ErrClientGone, err))
	}
}

// refuse remembers for the log what a 4xx was answered for. That no route takes
// the path is said by the status.
func (q *request) refuse(err error) {
	if err == errNotFound { //nolint:errorlint // a view's own 404 is another
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refusal = err
}

// ErrorPage is the data of the templates of error pages.
type ErrorPage struct {
	Status  int
	Title   string // "Not Found"
	Message string // for the client
	Detail  string // with DEBUG the error, its places and the request; else empty
}

func (q *request) errorPage(err error) ErrorPage {
	page := ErrorPage{Status: statusOf(err), Message: views.MessageOf(err)}
	switch {
	case page.Status == views.StatusClientGone: // it is still there, but its body is none
		page.Status = http.StatusBadRequest
	case q.shutDown(err):
		page.Status = http.StatusServiceUnavailable
	}
	page.Title = http.StatusText(page.Status)
	if page.Status != views.StatusOf(err) {
		page.Message = page.Title
	}
	return page
}

// statusOf is views.StatusOf with what views cannot know: no connection to be had
// is not a mistake of the site.
func statusOf(err error) int {
	status := views.StatusOf(err)
	if _, said := errors.AsType[*views.Error](err); !said && errors.Is(err, db.ErrUnavailable) {
		return http.StatusServiceUnavailable
	}
	return status
}

// custom answers with a template of the site, and reports whether it could.
func (q *request) custom(w http.ResponseWriter, r *http.Request, page ErrorPage, cause error) bool {
	if !accepts(r, "text/html") {
		return false
	}
	name, err := q.render(w, r, page, cause)
	switch {
	case name == "" && err == nil:
		return false
	case err == nil:
		return true
	case q.writer.started.Load():
		q.abort(err)
		return true
	}
	q.site.logger.ErrorContext(q.http.Context(), "app: an error page fails", "template", name, keyErr, db.Loggable(err))
	return false
}

// render answers with the template for the status; without one its name is empty. What
// panics before the first byte has failed.
func (q *request) render(w http.ResponseWriter, r *http.Request, page ErrorPage, cause error) (name string, err error) {
	defer func() {
		if q.writer.started.Load() {
			return // it is broken off further outside
		}
		if v := recover(); v != nil {
			err = panicError(v)
		}
	}()
	if name = q.site.errorTemplate(page.Status); name == "" {
		return "", nil
	}
	if q.site.technical != nil {
		page.Detail = string(q.site.technical.Text(q.failure(r, page, cause)))
	}
	return name, views.Template{Status: page.Status, Name: name, Data: page}.Respond(w, views.NewRequest(r, q))
}

func (s *Site) errorTemplate(status int) string {
	candidates := []string{strconv.Itoa(status) + ".html"}
	if status > http.StatusInternalServerError {
		candidates = append(candidates, "500.html")
	}
	for _, name := range candidates {
		// One that is broken is reported when it is used.
		if _, err := s.templates.Lookup(name); !isTemplateNotFound(err) {
			return name
		}
	}
	return ""
}

func isTemplateNotFound(err error) bool {
	_, ok := errors.AsType[*views.TemplateNotFoundError](err)
	return ok
}

// plain answers with the page that needs nothing of the site.
func (q *request) plain(w http.ResponseWriter, r *http.Request, page ErrorPage) {
	var b bytes.Buffer
	text := fmt.Sprintf("%d %s", page.Status, page.Title)
	if accepts(r, "text/html") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(&b, "<!doctype html>\n<html lang=\"en\">\n<title>%s</title>\n<h1>%[1]s</h1>\n", html.EscapeString(text))
		if page.Message != page.Title {
			fmt.Fprintf(&b, "<p>%s</p>\n", html.EscapeString(page.Message))
		}
	} else {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		b.WriteString(text + "\n")
		if page.Message != page.Title {
			b.WriteString("\n" + page.Message + "\n")
		}
	}
	q.send(w, r, page.Status, b.Bytes())
}

// send sends a page that was made.
func (q *request) send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(body); err != nil {
		q.note(fmt.Errorf("%w: %w", views.ErrClientGone, err))
	}
}

// accepts reports whether the client asks for the type by its name.
func accepts(r *http.Request, mediaType string) bool {
	for _, value := range r.Header["Accept"] {
		if strings.Contains(value, mediaType) {
			return true
		}
	}
	return false
}

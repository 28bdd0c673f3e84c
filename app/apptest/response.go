package apptest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/goquintet/quintet/db"
)

// Response is the answer to a request, and what the site did for it. Its fields are
// plain values: compare them with what they should be.
type Response struct {
	// Response is the answer as net/http's client has it. Its Body can be read
	// although it has been: it is Content. When the site broke off before a status,
	// the StatusCode is 0.
	*http.Response

	// Content is the body, to its end.
	Content []byte
	// Chunks are the parts of Content as the site flushed them.
	Chunks [][]byte
	// Broken is why the body, or the whole response, did not come to its end: the
	// site has broken it off. Nil is a whole response.
	Broken error

	// Route is the pattern that matched, such as "GET /polls/{id}"; empty when
	// none did. Django's resolver_match.
	Route string
	// Err is why the request failed: what the view returned or panicked with, and
	// clients do not get to see. Nil when it did not. Django's exc_info.
	Err error
	// Templates are those that were rendered, with their data, in this order.
	Templates []Template
	// Queries are the statements of the request, in the order of their answers,
	// BEGIN and COMMIT included. Its receivers' are among them.
	Queries []Query
	// Signals are the events of the site's signals for this request, in the order
	// in which they were sent; see [Sent].
	Signals []any

	// ReleasedBeforeBody says that every database connection of the request had
	// gone home when the first byte of the body left the site, or the headers of a
	// response without a body.
	ReleasedBeforeBody bool
	// Held are the connections that had not, each with its place.
	Held []db.Holder

	// RedirectChain are the redirects that [Follow] has followed, the first one
	// first. Django's redirect_chain.
	RedirectChain []Redirect
}

// Template is a template that was rendered.
type Template struct {
	Name string
	Data any // as the view had it
}

// Query is a statement.
type Query struct {
	Alias string
	db.Query
}

// Redirect is one step of a chain.
type Redirect struct {
	StatusCode int    // of the answer
	URL        string // that it pointed to
}

// Text is the Content as a string.
func (r *Response) Text() string { return string(r.Content) }

// JSON decodes the Content into what v points to.
func (r *Response) JSON(v any) error {
	if err := json.Unmarshal(r.Content, v); err != nil {
		return fmt.Errorf("apptest: %s is no JSON for a %T: %w", r.name(), v, err)
	}
	return nil
}

// Template is the last template that was rendered, the zero Template when none was.
func (r *Response) Template() Template {
	if len(r.Templates) == 0 {
		return Template{}
	}
	return r.Templates[len(r.Templates)-1]
}

func (r *Response) name() string {
	return fmt.Sprintf("the answer %d to %s %s", r.StatusCode, r.Request.Method, r.Request.URL.RequestURI())
}

// Sent returns the signals of one kind that were sent for the request:
//
//	released := apptest.Sent[signals.ConnectionReleased](response)
func Sent[E any](r *Response) []E {
	var events []E
	for _, event := range r.Signals {
		if event, ok := event.(E); ok {
			events = append(events, event)
		}
	}
	return events
}

// add takes a chunk of the body.
func (r *Response) add(chunk []byte) {
	r.Content = append(r.Content, chunk...)
	r.Chunks = append(r.Chunks, chunk)
}

// reread makes the body readable again.
func (r *Response) reread() { r.Body = io.NopCloser(bytes.NewReader(r.Content)) }

package views

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// View answers one request: with a response or with an error, never with both.
// A View is called by many requests at once.
//
// The response is rendered and sent after the view has returned. An error is
// answered by the life cycle with its [StatusOf].
type View func(r *Request) (Response, error)

// Response is an answer that has not been sent yet. The kinds of this package are
// structs that may be used as values or as pointers; a site may have kinds of its
// own.
//
// Respond sends the response. When it returns an error before anything was
// written to w, the answer is the life cycle's to make, and becomes an ordinary
// error page; after that, the life cycle breaks the connection off, so that the
// client does not mistake half a response for a whole one. A response is sent
// once. Until Respond returns it may use w from other goroutines, one at a time: a
// stream flushes from a timer's.
type Response interface {
	Respond(w http.ResponseWriter, r *Request) error
}

// Discard runs the clean-up of a response that will not be sent, because another
// one took its place: the Close of a [StreamingResponse]. Everything else,
// nil included, needs none.
func Discard(response Response) {
	switch s := response.(type) {
	case StreamingResponse:
		s.closed()
	case *StreamingResponse:
		if s != nil {
			s.closed()
		}
	}
}

// head is what every kind of response has before its body.
type head struct {
	kind        string // for errors
	status      int
	header      http.Header
	cookies     []*http.Cookie
	contentType string // unless the header says otherwise
}

// check refuses what net/http would panic about, drop or rewrite. Nothing has
// been touched when it returns an error.
func (h *head) check() error {
	if h.status < 200 || h.status > 999 {
		return fmt.Errorf("views: %s: status %d cannot answer a request: use 200 to 999", h.kind, h.status)
	}
	var names []string
	if len(h.header) > 0 { // most have none, and allocate nothing for it
		names = slices.Sorted(maps.Keys(h.header))
	}
	for i, name := range names {
		if !validName(name) {
			return fmt.Errorf("views: %s: header %q: a name has only letters, digits and the punctuation of RFC 9110", h.kind, name)
		}
		if other := slices.IndexFunc(names[:i], func(n string) bool { return strings.EqualFold(n, name) }); other >= 0 {
			return fmt.Errorf("views: %s: header %q is also there as %q: say it once", h.kind, name, names[other])
		}
		for _, value := range h.header[name] {
			if !validValue(value) {
				return fmt.Errorf("views: %s: header %q: the value %q has a newline or another control character", h.kind, name, value)
			}
		}
	}
	if !validValue(h.contentType) {
		return fmt.Errorf("views: %s: header \"Content-Type\": the value %q has a newline or another control character", h.kind, h.contentType)
	}
	for _, cookie := range h.cookies {
		if cookie == nil {
			return fmt.Errorf("views: %s: one of the cookies is nil", h.kind)
		}
		if err := cookie.Valid(); err != nil {
			return fmt.Errorf("views: %s: cookie %q: %w", h.kind, cookie.Name, err)
		}
	}
	return nil
}

// apply puts the head into w's header, without sending it. What the response says
// replaces what stood there, but for the headers that several parties add to.
func (h *head) apply(w http.ResponseWriter) {
	to := w.Header()
	if h.contentType != "" && h.bodyAllowed() {
		to.Set("Content-Type", h.contentType)
	}
	for name, values := range h.header {
		name = http.CanonicalHeaderKey(name)
		if name == "Set-Cookie" || name == "Vary" {
			to[name] = append(to[name], values...)
		} else {
			to[name] = slices.Clone(values)
		}
	}
	for _, cookie := range h.cookies {
		http.SetCookie(w, cookie)
	}
}

// get returns a header of the response however its name is spelt.
func (h *head) get(name string) string {
	for key, values := range h.header {
		if len(values) > 0 && textproto.CanonicalMIMEHeaderKey(key) == name {
			return values[0]
		}
	}
	return ""
}

// oneType refuses a type that is said in two places (Django refuses it too).
func (h *head) oneType() error {
	if given := h.get("Content-Type"); given != "" && h.contentType != "" {
		return fmt.Errorf("views: %s: the Content-Type is given twice, as %q and in the Header as %q: say it once", h.kind, h.contentType, given)
	}
	return nil
}

// bodyAllowed reports whether the status has a body (RFC 9110, 15.3.5 and 15.4.5).
func (h *head) bodyAllowed() bool {
	return h.status != http.StatusNoContent && h.status != http.StatusNotModified
}

// empty reports whether only the headers answer r.
func (h *head) empty(r *Request) bool {
	return r.Method == http.MethodHead || !h.bodyAllowed()
}

// content is a rendered body.
type content interface {
	io.WriterTo
	Len() int
}

// send sends the head and a body whose length is known.
func (h *head) send(w http.ResponseWriter, r *Request, body content) error {
	if err := h.begin(w, body.Len()); err != nil || h.empty(r) {
		return err
	}
	var to io.Writer = w
	if body.Len() > pieceSize {
		to = pace(w, r)
	}
	_, err := body.WriteTo(to)
	return unsent(err)
}

// sendString is send for a body that is a string.
func (h *head) sendString(w http.ResponseWriter, r *Request, body string) error {
	if err := h.begin(w, len(body)); err != nil || h.empty(r) {
		return err
	}
	var to io.Writer = w
	if len(body) > pieceSize {
		to = pace(w, r)
	}
	_, err := io.WriteString(to, body)
	return unsent(err)
}

// begin sends the head of a body of so many bytes.
func (h *head) begin(w http.ResponseWriter, bytes int) error {
	if err := h.check(); err != nil {
		return err
	}
	length := strconv.Itoa(bytes)
	if given := h.get("Content-Length"); given != "" && given != length {
		return fmt.Errorf("views: %s: header \"Content-Length\" says %s and the body has %s bytes: leave it out, it is counted", h.kind, given, length)
	}
	h.apply(w)
	if h.bodyAllowed() {
		w.Header().Set("Content-Length", length)
	} else {
		w.Header().Del("Content-Length")
	}
	w.WriteHeader(h.status)
	return nil
}

// render renders a body completely, and only then touches w.
func (h *head) render(w http.ResponseWriter, r *Request, render func(*bytes.Buffer) error) error {
	if err := h.check(); err != nil {
		return err
	}
	var body bytes.Buffer
	if h.bodyAllowed() {
		if err := render(&body); err != nil {
			return err
		}
	}
	return h.send(w, r, &body)
}

// unsent tells a client that is no longer there from a mistake of the response.
func unsent(err error) error {
	if err == nil || errors.Is(err, http.ErrContentLength) || errors.Is(err, http.ErrBodyNotAllowed) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrClientGone, err)
}

func status(given, otherwise int) int {
	if given == 0 {
		return otherwise
	}
	return given
}

func validName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}

func validValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

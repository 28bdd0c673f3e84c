package views

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Text answers with plain text. The zero Status is 200.
type Text struct {
	Status  int
	Header  http.Header
	Cookies []*http.Cookie
	Body    string
}

// Respond sends the text.
func (t Text) Respond(w http.ResponseWriter, r *Request) error {
	h := head{"Text", status(t.Status, http.StatusOK), t.Header, t.Cookies, "text/plain; charset=utf-8"}
	return h.sendString(w, r, t.Body)
}

// HTML answers with a page that is ready: Body is sent as it is and nothing in it
// is escaped. For anything that carries data use [Template], which escapes. The
// zero Status is 200.
type HTML struct {
	Status  int
	Header  http.Header
	Cookies []*http.Cookie
	Body    string
}

// Respond sends the page.
func (p HTML) Respond(w http.ResponseWriter, r *Request) error {
	h := head{"HTML", status(p.Status, http.StatusOK), p.Header, p.Cookies, "text/html; charset=utf-8"}
	return h.sendString(w, r, p.Body)
}

// JSON answers with Value as encoding/json writes it. Value is encoded completely
// before anything is sent: a marshaler may still query, and its error is an
// ordinary error. The zero Status is 200, a nil Value is null. Django's
// JsonResponse, which refuses anything but dictionaries; this one does not.
type JSON struct {
	Status  int
	Header  http.Header
	Cookies []*http.Cookie
	Value   any
}

// Respond encodes the value and sends it.
func (j JSON) Respond(w http.ResponseWriter, r *Request) error {
	h := head{"JSON", status(j.Status, http.StatusOK), j.Header, j.Cookies, "application/json"}
	return h.render(w, r, func(body *bytes.Buffer) error {
		if err := json.NewEncoder(body).Encode(j.Value); err != nil {
			return fmt.Errorf("views: JSON: encode %T: %w", j.Value, err)
		}
		body.Truncate(body.Len() - 1) // the encoder's newline
		return nil
	})
}

// NoContent answers that there is nothing to say. The zero Status is 204; any
// other goes out with an empty body.
type NoContent struct {
	Status  int
	Header  http.Header
	Cookies []*http.Cookie
}

// Respond sends the headers.
func (n NoContent) Respond(w http.ResponseWriter, r *Request) error {
	h := head{"NoContent", status(n.Status, http.StatusNoContent), n.Header, n.Cookies, ""}
	return h.sendString(w, r, "")
}

// Redirect sends the client elsewhere. The zero Status is 302, as Django's; 301,
// 303, 307 and 308 are the others. To is a path or a URL of the schemes http,
// https and ftp; everything else, javascript: and data: before all, is an error,
// and so are an empty To and one with control characters. A path is sent as it
// is: where the site is mounted under a prefix, [Request.Reverse] makes it.
type Redirect struct {
	Status  int
	Header  http.Header
	Cookies []*http.Cookie
	To      string
}

// Respond sends the redirect, with an empty body.
func (d Redirect) Respond(w http.ResponseWriter, r *Request) error {
	h := head{"Redirect", status(d.Status, http.StatusFound), d.Header, d.Cookies, ""}
	switch h.status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return fmt.Errorf("views: Redirect: status %d does not redirect: use 301, 302, 303, 307 or 308", h.status)
	}
	to, err := location(d.To)
	if err != nil {
		return err
	}
	if given := h.get("Location"); given != "" {
		return fmt.Errorf("views: Redirect: the Header has a Location, %q, besides To, %q: say it once", given, d.To)
	}
	if h.header = d.Header.Clone(); h.header == nil {
		h.header = make(http.Header)
	}
	h.header.Set("Location", to)
	return h.sendString(w, r, "")
}

// location returns to as it may stand in a header: what is not ASCII is escaped.
func location(to string) (string, error) {
	if to == "" {
		return "", fmt.Errorf("views: Redirect: To is empty: name a path or a URL")
	}
	u, err := url.Parse(to)
	if err != nil || !validValue(to) || strings.Contains(to, "\t") {
		return "", fmt.Errorf("views: Redirect: To %q is not a URL", to)
	}
	switch u.Scheme { // url.Parse has made it lower case
	case "", "http", "https", "ftp":
	default:
		return "", fmt.Errorf("views: Redirect: To %q: the scheme %q is unsafe: use http, https, ftp or a path", to, u.Scheme)
	}
	var b strings.Builder
	for i := range len(to) {
		if c := to[i]; c <= ' ' || c > '~' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

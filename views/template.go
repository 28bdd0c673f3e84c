package views

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
)

// Template answers with the template of the site that has this Name, executed
// with Data. It is executed completely before anything is sent: its functions and
// the methods of Data may still query, and their errors are ordinary errors. See
// [Templates] for layouts. The zero Status is 200. Django's TemplateResponse, or
// render.
type Template struct {
	Status  int
	Header  http.Header
	Cookies []*http.Cookie
	Name    string // "sales/list.html"
	Data    any    // the dot of the template
}

// Respond executes the template and sends the result.
func (t Template) Respond(w http.ResponseWriter, r *Request) error {
	h := head{"Template", status(t.Status, http.StatusOK), t.Header, t.Cookies, "text/html; charset=utf-8"}
	templates := r.cycle.Templates()
	if templates == nil {
		return fmt.Errorf("views: Template %q: %w", t.Name, errNoTemplates)
	}
	return h.render(w, r, func(body *bytes.Buffer) error {
		return templates.Render(body, r, t.Name, t.Data)
	})
}

var errNoTemplates = errors.New("this request has no templates: give NewRequest a Cycle that has")

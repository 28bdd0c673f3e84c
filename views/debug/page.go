package debug

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page and its sheet
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var document string

//go:embed page.css
var sheet string

// Page makes pages. It may be used concurrently.
type Page struct {
	html   *template.Template
	owners owners
	policy string
}

// New returns what makes pages: it parses its document once.
func New() *Page {
	sum := sha256.Sum256([]byte(sheet))
	return &Page{
		html:   template.Must(template.New("page.html").Parse(document)),
		owners: newOwners(),
		// The document has one sheet of its own. What runserver adds is a script of
		// the site's address, which asks that for news.
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; " +
			"script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}
}

// Policy is the Content-Security-Policy of the document.
func (p *Page) Policy() string { return p.policy }

// HTML returns the page as a document, and reports whether that is what it is: when the
// document cannot be made, it is the text.
func (p *Page) HTML(f *Failure) (page []byte, isHTML bool) {
	defer func() {
		if v := recover(); v != nil {
			page, isHTML = p.Text(f), false
		}
	}()
	facts := p.facts(f)
	facts.CSS = template.CSS(sheet)
	var b bytes.Buffer
	if err := p.html.Execute(&b, facts); err != nil {
		return p.Text(f), false
	}
	return b.Bytes(), true
}

// Text returns the page as text.
func (p *Page) Text(f *Failure) (page []byte) {
	defer func() {
		if v := recover(); v != nil {
			page = []byte("Internal Server Error\n\nThe page that tells why cannot be made.\n")
		}
	}()
	var b bytes.Buffer
	writeText(&b, p.facts(f))
	return b.Bytes()
}

// lines writes text and forgets its errors: a buffer has none.
type lines struct{ w io.Writer }

func (l lines) add(format string, args ...any) { _, _ = fmt.Fprintf(l.w, format+"\n", args...) }

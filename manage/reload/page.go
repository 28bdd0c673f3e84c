package reload

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageText string

//go:embed reload.js
var scriptText string

// The addresses that are the parent's own.
const (
	pathEvents = "/__quintet__/reload"
	pathScript = "/__quintet__/reload.js"
)

// writePage answers with what is wrong.
func (f *front) writePage(w http.ResponseWriter, failure *Failure, id string) {
	nonce := rand.Text()
	var page bytes.Buffer
	err := f.page.Execute(&page, map[string]any{
		"Failure": failure, "Places": failure.places, "Script": pathScript + "?" + id, "Nonce": nonce,
		"Building": failure.Stage == Building, "Serving": failure.Stage == Serving, "Served": f.isServed(),
	})
	if err != nil {
		http.Error(w, failure.String()+"\n\n"+failure.Output, http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+nonce+"'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = page.WriteTo(w) // a browser that has gone needs no page
}

func newPage() *template.Template { return template.Must(template.New("page").Parse(pageText)) }

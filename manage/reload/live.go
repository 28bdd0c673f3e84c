package reload

import (
	"fmt"
	"net/http"
)

// serveEvents tells a browser the id of the site, now and whenever it changes.
func (f *front) serveEvents(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	told := ""
	for {
		id, changed, open := f.now()
		if !open {
			return
		}
		if id != told {
			if _, err := fmt.Fprintf(w, "retry: 500\nevent: site\ndata: %s\n\n", id); err != nil {
				return // the browser has gone
			}
			if err := control.Flush(); err != nil {
				return
			}
			told = id
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func serveScript(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "text/javascript; charset=utf-8")
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte(scriptText)) // a browser that has gone needs no script
}

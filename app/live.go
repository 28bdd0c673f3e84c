package app

import (
	"net/http"
	"strings"

	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/views"
)

// openRecorder makes what records, and with DEBUG the page for the site's own address.
// In production nothing is recorded until somebody looks at the page of the admin socket.
func (s *Site) openRecorder() {
	s.recorder = live.NewRecorder(s.connections)
	if !s.settings.Debug {
		return
	}
	s.recorder.Open()
	page := live.Page{Recorder: s.recorder, Process: s.liveProcess, Site: s.liveSite, Cycle: func(r *http.Request) views.Cycle {
		if q := requestOf(r.Context(), s); q != nil {
			return q
		}
		return nil
	}}
	s.page = page.Handler()
}

// Recorder is what the live page shows. It records while DEBUG is true or somebody has
// the page open: [live.Recorder.Open].
func (s *Site) Recorder() *live.Recorder { return s.recorder }

// showsPage reports whether the request is of the live page at the site's own address,
// which it has with DEBUG only. Middleware of the site does not see it.
func (s *Site) showsPage(r *http.Request) bool {
	return s.page != nil && (strings.HasPrefix(r.URL.Path, live.Root) || r.URL.Path == strings.TrimSuffix(live.Root, "/"))
}

func (s *Site) liveProcess() live.Process {
	p := s.processStatus()
	return live.Process{PID: p.PID, Started: p.Started, Addresses: p.Addresses, Program: p.Program, Version: p.Version, Go: p.Go}
}

func (s *Site) liveSite() live.Site { return live.Site(s.Stats()) }

// page is the live page of the admin socket. A browser comes by through a tunnel from
// this machine ("ssh -L 8001:/the/socket host"); one that was led here by another name
// is shown nothing.
func (a *adminListener) page() http.Handler {
	shown := live.Page{Recorder: a.site.recorder, Process: a.site.liveProcess, Site: a.site.liveSite}
	page := shown.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch hostName(r.Host) {
		case "localhost", "127.0.0.1", "::1", "admin":
		default:
			http.Error(w, "This is for this machine only: open it as localhost.", http.StatusForbidden)
			return
		}
		page.ServeHTTP(w, r)
	})
}

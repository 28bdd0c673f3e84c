package app

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/goquintet/quintet/app/admin"
	"github.com/goquintet/quintet/app/live"
)

// adminListener lets a process that serves a site be asked: over a unix socket, by
// its own user. The public listeners know nothing of it.
type adminListener struct {
	site  *Site
	mux   *http.ServeMux
	since time.Time

	mu        sync.Mutex // guards the rest
	addresses []string   // of the public listeners
	listener  net.Listener
	server    *http.Server
	over      chan struct{} // closed when server has ended
}

// begin makes what answers. Each thing that a process can be asked for has its line
// here.
func (a *adminListener) begin(s *Site) {
	a.site, a.since, a.mux = s, time.Now(), http.NewServeMux()
	a.mux.HandleFunc("GET /status", a.status)
	a.mux.HandleFunc("GET /live", a.live)
	a.mux.HandleFunc("GET /ready", a.ready)
	a.mux.Handle(live.Root, a.page())
}

// Admin is what answers on the sockets in ADMIN_SOCKETS: GET /status is the [Status] of
// this process, in JSON, GET /ready its [Health], GET /live no more than that it runs, and
// /__quintet__/ the live page of its connections, besides what [Site.HandleAdmin] has added.
// [Site.Serve] serves it there. A program that serves the
// site by itself may serve it as well, where nobody but its own user comes by: it tells
// what goes on inside.
func (s *Site) Admin() http.Handler { return s.admin.mux }

// HandleAdmin lets what answers on the sockets in ADMIN_SOCKETS answer one question more,
// such as "GET /metrics". The pattern is one of [http.ServeMux]; it panics for one that is
// taken. It may be called at any time, concurrently, [App.Ready] being the usual place.
// Whoever asks is this user or was let in by it; what the handler says may not have
// secrets in it all the same.
func (s *Site) HandleAdmin(pattern string, handler http.Handler) {
	s.admin.mux.Handle(pattern, handler)
}

// AdminFolders are where processes of this site have their sockets; one that serves it
// now would use the first. There is none with ADMIN_SOCKETS: none, and on systems that
// have no such sockets.
func (s *Site) AdminFolders() []admin.Folder {
	switch chosen := s.settings.AdminSockets; {
	case !admin.Supported || chosen == NoAdmin:
		return nil
	case chosen == "":
		return admin.Default(s.settings.identity())
	default:
		if path, err := filepath.Abs(chosen); err == nil { // it fails without a working directory only
			chosen = path
		}
		return []admin.Folder{admin.At(chosen)}
	}
}

// identity is what the processes of a site have in common and no other site has: the
// files of its settings, or without files its secret, and its databases. Nothing can
// be read from it.
func (s Settings) identity() string {
	hash := sha256.New()
	say := func(words ...any) { _, _ = fmt.Fprintf(hash, "%q\n", words) } // a hash takes everything
	say("quintet admin sockets")
	for _, file := range s.files {
		say("file", file)
	}
	if len(s.files) == 0 {
		say("secret", string(s.SecretKey))
	}
	for _, alias := range slices.Sorted(maps.Keys(s.Databases)) {
		d := s.Databases[alias].WithDefaults()
		if path, err := filepath.Abs(d.Name); err == nil && d.Engine == "sqlite" && isRelativeFile(d.Name) {
			d.Name = path
		}
		say("database", alias, d.Engine, d.Host, d.Port, d.Name)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// open is called by who serves the site at some addresses, and returns what it calls at
// the end. The first opens the socket, the last closes it. A socket that cannot be had
// keeps nobody from serving.
func (a *adminListener) open(listeners ...net.Listener) (done func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := len(a.addresses) == 0
	for _, l := range listeners {
		a.addresses = append(a.addresses, l.Addr().String())
	}
	if first {
		a.listenLocked()
	}
	return func() { a.leave(listeners) }
}

func (a *adminListener) listenLocked() {
	logger, folders := a.site.logger, a.site.AdminFolders()
	if len(folders) == 0 {
		return
	}
	listener, err := folders[0].Listen()
	if err != nil {
		problem, hint := err.Error(), "choose another folder in ADMIN_SOCKETS, or say none"
		if e, ok := errors.AsType[*admin.Error](err); ok {
			problem, hint = e.Folder+": "+e.Problem, e.Hint+" in ADMIN_SOCKETS, or say none there"
		}
		logger.Warn("app: no admin socket: dbstatus will not see this process", keyErr, problem, "hint", hint)
		return
	}
	a.listener, a.over = listener, make(chan struct{})
	a.server = &http.Server{
		Handler: a.mux, ReadHeaderTimeout: adminHeaderTimeout, IdleTimeout: adminIdleTimeout, MaxHeaderBytes: adminHeaderBytes,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	logger.Debug("app: admin socket", "path", listener.Addr().String())
	go func(server *http.Server, over chan struct{}) {
		defer close(over)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Warn("app: the admin socket has failed", keyErr, err)
		}
	}(a.server, a.over)
}

const (
	adminHeaderTimeout = 5 * time.Second
	adminIdleTimeout   = 30 * time.Second
	adminHeaderBytes   = 16 << 10
)

// leave is open's counterpart.
func (a *adminListener) leave(listeners []net.Listener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range listeners {
		if i := slices.Index(a.addresses, l.Addr().String()); i >= 0 {
			a.addresses = slices.Delete(a.addresses, i, i+1)
		}
	}
	if len(a.addresses) > 0 || a.server == nil {
		return
	}
	if err := a.server.Close(); err != nil { // who is asking is cut off
		a.site.logger.Warn("app: close the admin socket", keyErr, err)
	}
	<-a.over
	a.server, a.listener = nil, nil
}

func (a *adminListener) servedAt() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.addresses)
}

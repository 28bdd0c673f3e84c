// Package app makes one site of its parts, and is the life of each request.
//
//	func New() (*app.Site, error) {
//		settings, err := app.Load("settings.yaml")
//		if err != nil {
//			return nil, err
//		}
//		return app.New(settings, app.Options{
//			Engines: []db.Engine{sqlite.Engine{}, postgres.Engine{}},
//			Apps:    []app.App{polls.App()},
//			Routes:  urls,
//		})
//	}
//
//	func urls(site *app.Site) {
//		site.GET("/", home)
//		site.Include("/polls", polls.App())
//	}
//
// A [Site] is an [http.Handler]. [Site.Run] and [Site.Serve] serve it until a
// context ends, and drain it; mounted in the mux of another program it works as
// well. [Site.Wrap] gives handlers that are not the site's the same life. Nothing
// is global: two sites in one process do not meet.
//
// # The life of a request
//
// In this order, and back out again:
//
//   - The life cycle: it recovers panics, opens a scope ([db.Scope]) that holds no
//     connection yet, and sends RequestStarted.
//   - Admission: request id, security headers, ALLOWED_HOSTS, cross-origin
//     protection, MAX_BODY. It protects wrapped handlers, too.
//   - [Options.Middleware], the first outermost.
//   - Routing.
//   - The block of each alias with ATOMIC_REQUESTS, unless the route is [NonAtomic]. It
//     begins with its first statement; for GET and HEAD, on SQLite, as a reader.
//   - The functions of [Use], the view.
//   - The response is rendered; it may still query.
//   - The blocks are committed and what db.OnCommit was given runs: before the first
//     byte of a response, before the generator of a stream. A commit that fails is a
//     500, and nothing of the response has left. What returns an error or panics is
//     rolled back; what returns a response is not, whatever its status
//     ([RollbackOn5xx]). A stream is outside of the block.
//   - Release: at the first WriteHeader, Write, Flush, ReadFrom or Hijack every
//     connection that nothing is open on goes home, and later statements lease one
//     for their own time. No client is waited for with a connection in hand. Rows
//     or a transaction that a handler has open keep theirs: that is counted
//     ([Stats]), and logged with the place, once a minute. The same holds for the body of the
//     request: beyond 64 KiB it is not waited for with an idle connection in hand.
//   - The bytes, and with the first of them ResponseStarted.
//   - The end of the scope, RequestFinished, one line in the log.
//
// Each step of the way back is deferred by itself. RequestFinished is sent exactly
// once for each RequestStarted, whatever happens between them: errors, panics, a
// handler that ends its goroutine, a client that leaves, a hijacked connection, a
// receiver that fails. The connections are home before its receivers run, whatever
// they do; they have a scope of their own, and a context that the client's
// departure does not end but CLEANUP_TIMEOUT does.
//
// # Errors
//
// An error that a view returns is answered with its [views.StatusOf]; a database
// that no connection can be had of is 503. What the client reads is
// [views.MessageOf]. The page is the template "404.html", or whatever the status is;
// "500.html" serves all from 500 on; see [ErrorPage]. One that fails is replaced by a
// plain page. Clients that do not ask for HTML get text. RequestFailed is sent for 5xx
// and panics.
//
// In DEBUG the page of a 400, a 404, and of all from 500 on is another one, whatever
// templates there are: Django's technical pages (package views/debug). It shows the lines
// of the site's own code that led to the error, what to do now where the framework knows
// it, what the request did with its connections, the request, and the settings; for a
// path that no route takes, the routes. It works when the database and the templates do
// not. Secrets are hidden by their names, and wherever else their values stand;
// statements have no values. Whoever asks for a host that is not in ALLOWED_HOSTS sees
// neither settings nor routes. Clients that do not ask for HTML get the same as text:
// curl reads it. A Hint() string method of an error says what to do now.
//
// A response that has begun and then fails is broken off, over HTTP/1.1 and HTTP/2:
// the connection's write deadline passes, the writer refuses, and
// [http.ErrAbortHandler] goes up. So the client does not take half an answer for a
// whole one, also when middleware recovers the panic, inside the site or outside.
//
// A client that leaves is no failure: the error is in RequestFinished, an
// [views.ErrClientGone] or the context's, and nothing is sent any more.
//
// # The log
//
// Everything goes to one [log/slog.Logger], [Options.Logger], above LOG_LEVEL: each
// request is a line when it has ended, Django's django.server and django.request in one,
// whose level follows its status; whatever is logged with its context, by the databases
// too, has its request_id. Package db has the list of what it warns of, each once a minute
// with the line of code: slow statements, connections that are held idle or used too
// late, streams that hold, N+1. The manage commands write for people on a terminal, and
// JSON elsewhere.
//
// # Checks
//
// [Site.Check] looks for mistakes that [New] cannot see or must allow: settings that
// contradict each other, models that bun cannot map, templates that name no route.
// Apps add their own, [App.Checks]. [Site.CheckWith] chooses, and asks databases.
// CHECKS.md lists what the framework finds; "manage check" shows it.
//
// # Asking a process
//
// Each process that serves a site listens on a unix socket of its own as well, in a
// folder that only its user may enter: ADMIN_SOCKETS. There [Site.Admin] answers GET
// /status with the [Status] of the process in JSON: its requests, and of each alias the
// numbers of the pool, the connections with their ages, and who holds them; GET /ready
// with its [Health], and GET /live with no more than that it runs. "manage dbstatus" and
// "manage ready" ask all of them. Nothing of it is reachable at the addresses at which the
// site is served. A socket that cannot be had is one warning in the log.
//
// # The live page
//
// In DEBUG the site shows at /__quintet__/ who holds which connection while it happens:
// requests and tasks as bars, with the times in which they wait for a connection, hold
// one, send statements, and stream; each physical connection with those who had it; the
// queue; and what MAX_CONNECTIONS the load needs. It keeps the last few hundred requests
// ([Site.Recorder], package live), with statements without their values, and of errors
// no more than their kind. Middleware of the site does not see it; ALLOWED_HOSTS counts.
//
// In production it is at /__quintet__/ of the socket of each process and nowhere else,
// and requests are recorded only while somebody looks. A browser reaches it through a
// tunnel, ssh -L 8001:/path/of/the.sock host, as http://localhost:8001/__quintet__/;
// "manage dbstatus --json" names the sockets.
//
// # Streams in production
//
// A stream that waits costs about what a connection of net/http costs, some 30 KiB, and
// a file descriptor; it holds no database connection. What bounds them is MAX_STREAMS for
// the site and [MaxStreams] for a route: one more is answered with 503 and a Retry-After
// that is spread. An EventSource takes a 503 for the end, so that a page that wants to
// try again makes another. [Site.Streams] lists what is running, with its age, what it
// has sent, and whether it waits for its client; so do /status and dbstatus.
//
// Proxies: streams say X-Accel-Buffering: no, and nginx passes each chunk on at once
// while its buffering stays on for everything else. It has to speak HTTP/1.1 to the site
// (proxy_http_version 1.1), because HTTP/1.0 cannot tell a stream that was broken off
// from one that is whole, and its proxy_read_timeout has to be longer than
// STREAM_HEARTBEAT, or than a stream may be silent. A client that leaves is noticed
// through the proxy. The deploy folder of a new project has all that.
//
// Caches: server-sent events say Cache-Control: no-cache. Other streams say what their
// views say; [GZip] adds Vary.
//
// Compression: [GZip], or the proxy. Both pass chunks on.
//
// HTTP/2 is spoken over TLS and in clear text; see [Site.Serve]. Over HTTP/1.1 a browser
// opens six connections to a host, for all its pages together: with six pages that
// listen, the seventh waits. Have the proxy speak HTTP/2 with them.
//
// A shutdown tells the streams first: their contexts end with [ErrShutdown] as the cause.
// A generator that ends then has answered in full, with a last chunk if it has one. What
// still runs after SHUTDOWN_TIMEOUT is broken off, counted and named. An EventSource
// connects again by itself, with the ID of its last event, and finds the next process;
// one that comes while the site stops gets a stream that is over, because it would never
// come again after a 503. It misses nothing if the view reads Last-Event-ID.
//
// # Static files
//
// In DEBUG the site serves [Options.Static] and the Static of its apps below
// STATIC_URL. In production a web server or a CDN does. Templates write
// {{static "polls/style.css"}} and {{url "poll" .ID}}; both know the prefix under
// which the site is mounted.
//
// # Differences from Django
//
//   - Connections go home before the first byte, not after the last.
//   - [db.Iterate] is QuerySet.iterator. It holds nothing between its batches; the
//     cursor of the server, which does, is one of its modes ([db.ModeSnapshot]) and
//     always in a transaction, also behind PgBouncer.
//   - ATOMIC_REQUESTS costs nothing for a view that never queries, and includes the
//     rendering of templates. A callback of db.OnCommit that fails is reported, and the
//     response stays what it was; Django's is a 500 after the commit. A failed
//     statement that the view has swallowed is a 500; Django answers 200 and stores
//     nothing.
//   - RequestFinished is sent exactly once, also when a stream fails under way.
//     Django sends request_finished twice when a response is closed twice, and not
//     at all when a stream fails under ASGI.
//   - A failing receiver stops nothing: the life cycle's signals are sent robustly,
//     and giving connections back is not a receiver.
//   - got_request_exception is RequestFailed, and is sent for failing streams, too.
//   - A middleware is a func(http.Handler) http.Handler. There are no hooks for
//     views, templates and exceptions; [Use] goes around a view. A middleware that
//     recovers a panic has answered it.
//   - A response that [Use] replaces is closed. Django leaves it open.
//   - Routes have methods. A path that no route takes for its method is 405, with
//     Allow. GET answers HEAD.
//   - Including an app installs it: INSTALLED_APPS and include cannot disagree.
//   - The body is read while the view runs, not before it. MAX_BODY bounds every
//     body.
//   - Cross-site requests are refused by what browsers say about them (Sec-Fetch-Site
//     and Origin, [http.CrossOriginProtection]); there is no token.
//   - HTTP/1.1 keeps the connection after a stream: it ends with the last chunk.
//   - [GZip] leaves alone what is compressed already, server-sent events and ranges.
//     Django's middleware compresses whatever is long enough.
//
// [db.Scope]: https://pkg.go.dev/github.com/goquintet/quintet/db#Scope
// [db.Iterate]: https://pkg.go.dev/github.com/goquintet/quintet/db#Iterate
// [db.ModeSnapshot]: https://pkg.go.dev/github.com/goquintet/quintet/db#ModeSnapshot
package app

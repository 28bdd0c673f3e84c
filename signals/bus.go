package signals

// Bus is the signals that a site sends about itself; each site has one of its
// own. The zero value is ready. A Bus must not be copied; go vet reports copies.
//
// While a request is served they are sent with [Signal.SendRobust], on a context
// that the client's departure does not cancel and that has a deadline of its own;
// the site reports what fails. No receiver can keep a request or a connection from
// its end.
type Bus struct {
	// RequestStarted is sent once for each request, before any middleware.
	// Django's request_started.
	RequestStarted Signal[RequestStarted]

	// ResponseStarted is sent when the first bytes of a response have been handed to
	// net/http: what nothing is open on has gone home by then. A broken request may have
	// none. Django has no such signal.
	ResponseStarted Signal[ResponseStarted]

	// RequestFinished is sent exactly once for each request that started, when
	// its handlers have returned or panicked and everything was handed to
	// net/http, streams included. Django's request_finished, which is sent by
	// each close of the response instead.
	RequestFinished Signal[RequestFinished]

	// RequestFailed is sent when a request ends with an error that is nobody's
	// answer, before RequestFinished. Django's got_request_exception, and sent
	// for a failing stream too.
	RequestFailed Signal[RequestFailed]

	// ConnectionCreated is sent when a database connection has been opened and
	// set up, not when an open one is used again. Django's connection_created.
	ConnectionCreated Signal[ConnectionCreated]

	// ConnectionReleased is sent when a database connection was given back or
	// closed by whoever held it, with the values of the holder's context and none of
	// its connections. Django has no such signal.
	ConnectionReleased Signal[ConnectionReleased]

	// CallbackFinished is sent when a function that was given to db.OnCommit has run,
	// with the values of the context that it was given. Recording it is Django's
	// captureOnCommitCallbacks with execute.
	CallbackFinished Signal[CallbackFinished]

	// TemplateRendered is sent when a template of the site has been executed for a
	// response, error pages included. Django's template_rendered, which only its
	// test runner sends.
	TemplateRendered Signal[TemplateRendered]

	// MigrateStarted is sent before the migrations of one database run, also
	// when there is none to run. Django's pre_migrate, once for a database
	// instead of once for each app.
	MigrateStarted Signal[MigrateStarted]

	// MigrateFinished is sent once for each MigrateStarted, also when a
	// migration failed. Django's post_migrate, which is sent after success only.
	MigrateFinished Signal[MigrateFinished]
}

// OnDuplicate is [Signal.OnDuplicate] for every signal of the bus. Signals know no
// logger; a site in DEBUG passes a function that logs.
func (b *Bus) OnDuplicate(report func(Duplicate)) {
	b.RequestStarted.OnDuplicate(report)
	b.ResponseStarted.OnDuplicate(report)
	b.RequestFinished.OnDuplicate(report)
	b.RequestFailed.OnDuplicate(report)
	b.ConnectionCreated.OnDuplicate(report)
	b.ConnectionReleased.OnDuplicate(report)
	b.CallbackFinished.OnDuplicate(report)
	b.TemplateRendered.OnDuplicate(report)
	b.MigrateStarted.OnDuplicate(report)
	b.MigrateFinished.OnDuplicate(report)
}

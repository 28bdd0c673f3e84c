package signals

import (
	"net/http"
	"time"
)

// RequestStarted is the event of [Bus.RequestStarted].
type RequestStarted struct {
	// Request is the request as it came in. Its body belongs to the view. A receiver may
	// add values to its context, for the middleware and the view to find:
	//
	//	*e.Request = *e.Request.WithContext(context.WithValue(e.Request.Context(), key, value))
	Request *http.Request
}

// ResponseStarted is the event of [Bus.ResponseStarted].
type ResponseStarted struct {
	Request  *http.Request
	Route    string        // the pattern that matched; empty when none did
	Status   int           // 0 when the handler took over the network connection
	Duration time.Duration // since RequestStarted
	Stream   time.Duration // the part of Duration since it has been a stream; 0 when it is none
}

// RequestFinished is the event of [Bus.RequestFinished].
type RequestFinished struct {
	Request  *http.Request
	Route    string        // the pattern that matched, such as "GET /polls/{id}"; empty when none did
	Status   int           // as sent to the client; 0 when nothing was sent or the connection was hijacked
	Bytes    int64         // of the body, as handed to net/http
	Duration time.Duration // since RequestStarted
	Hijacked bool          // the handler took over the network connection
	Err      error         // why the request failed; nil when it did not
}

// RequestFailed is the event of [Bus.RequestFailed].
type RequestFailed struct {
	Request   *http.Request
	Route     string // the pattern that matched; empty when none did
	Err       error  // what the view returned, or its panic
	Stack     []byte // of a panic; nil otherwise
	Streaming bool   // the status was already sent: the response was cut off
}

// ConnectionCreated is the event of [Bus.ConnectionCreated]. It is sent before the
// connection serves anybody: a receiver that needs a connection of the same alias
// in its turn waits for another one. A session is prepared by db.Options.OnConnect.
type ConnectionCreated struct {
	Alias    string        // of the database in the settings, such as "default"
	Engine   string        // such as "postgres" or "sqlite"
	Duration time.Duration // of dialling and setting up
}

// ConnectionReleased is the event of [Bus.ConnectionReleased].
type ConnectionReleased struct {
	Alias   string        // of the database in the settings
	Holder  string        // the route, task or command that held it
	Reason  string        // why it was released, for people and logs
	Held    time.Duration // from the first statement to the release
	Idle    time.Duration // the part of Held in which no statement ran
	Queries int           // statements sent while it was held

	// LeftOpen names the rows, transactions and prepared statements that the holder
	// had left open, each with its place; empty when there were none.
	LeftOpen string
}

// CallbackFinished is the event of [Bus.CallbackFinished].
type CallbackFinished struct {
	Alias string // of the database in the settings
	At    string // file:line where the function was registered
	Err   error  // that it returned, or its panic
}

// TemplateRendered is the event of [Bus.TemplateRendered].
type TemplateRendered struct {
	Request *http.Request
	Name    string // "sales/list.html"
	Data    any    // the dot of the template, as the view has it
}

// MigrateStarted is the event of [Bus.MigrateStarted].
type MigrateStarted struct {
	Alias     string   // of the database in the settings
	Backwards bool     // migrations are being unapplied
	Pending   []string // the names of the migrations to run, in this order; empty when there is nothing to do
}

// MigrateFinished is the event of [Bus.MigrateFinished].
type MigrateFinished struct {
	Alias     string        // of the database in the settings
	Backwards bool          // migrations were unapplied
	Applied   []string      // the names of those that ran to their end, in this order; with Backwards the unapplied ones
	Duration  time.Duration // of the whole run
	Err       error         // of the migration that failed; nil when all ran
}

package debug

import (
	"net/http"
	"net/url"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// Failure is what there is to show about a request that failed. What is not known is
// the zero value. A page takes what is in it as it is told, and shows no secret of it.
type Failure struct {
	Status  int
	Err     error
	Panic   any    // the value that it panicked with
	Stack   []byte // of the panic, as runtime/debug has it
	Hint    string // what to do now; without one, the error is asked for its Hint()
	Answer  string // what clients read when DEBUG is false
	Request *http.Request
	ID      string     // X-Request-ID
	Form    url.Values // of the body, as far as the view has read it

	Route string // "GET /polls/{id}"; empty when no route takes the request
	View  View
	// Routes are those of the site, for a page that says which there are.
	Routes  []Route
	Nearest string // the address that was perhaps meant

	Settings []Setting
	Scope    *Scope // nil when nothing was recorded
	Holders  []pool.Holder
	// Template returns the text of a template of the site.
	Template func(name string) (string, error)
	Live     string // the address of the live page

	// Secrets are values that are shown nowhere.
	Secrets []string
	// Statements are the last ones as they were sent, values and all: what they may
	// have left in the text of an error is hidden there.
	Statements []Sent
}

// View is the function that a route names.
type View struct {
	Name string // "polls.Detail"
	File string // absolute
	Line int    // where the function begins
	At   string // file:line of the route
}

// Route is a line of the table of routes.
type Route struct {
	Method, Pattern, Name string
	View, At              string
}

// Setting is one value, with secrets hidden.
type Setting struct {
	Key, Value, Origin string
}

// Sent is a statement as it was sent.
type Sent struct {
	Query  string
	Failed bool
}

// Scope is what the request did with its connections. Moments are counted from its
// beginning.
type Scope struct {
	Holds          []Hold // in their order
	Statements     []Statement
	MoreHolds      int64 // that are not kept
	MoreStatements int64
	Failed         *pool.Place // of the statement, or the wish for a connection, that failed last
}

// Hold is a wish for a connection, and what came of it.
type Hold struct {
	Alias      string
	Connection int64
	Asked      time.Duration
	Got        time.Duration // zero when it got none
	Back       time.Duration // zero while it is held
	Idle       time.Duration // of the time in which it was held
	Reason     string        // why it went back
	Err        string        // why there was none
	At         string        // file:line
	BackAt     string        // file:line; empty when nobody's line has asked for it
}

// Statement is one statement, without its values.
type Statement struct {
	Hold    int // an index
	Text    string
	At      string // file:line
	Sent    time.Duration
	Took    time.Duration // until it was answered; zero when it never was
	Rows    int64
	Err     string
	Control bool // it begins or ends a transaction, or a part of one
}

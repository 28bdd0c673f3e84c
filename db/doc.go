// Package db knows who holds which connection. A [Scope], one request, task or command,
// leases a connection at its first statement and gives it back at its end or with the
// first byte to the client; [From] is its connection, Django's. [Atomic] puts
// statements into a transaction, [OnCommit] runs something after it.
//
// # Who holds what
//
// [Connections.Holders] names everybody who holds a connection, since when, how much of
// that the database had nothing to do, and the place in the code. HOLD_IDLE_WARN logs
// who holds without need, HOLD_LIMIT takes the connection away. Whoever finds none
// within ACQUIRE_TIMEOUT gets an [AcquireError] with the oldest holders, and at once an
// [ErrSelfDeadlock] where all of them wait for it.
//
// # What is logged
//
// Django's django.db.backends logs every statement, in DEBUG. Here it is what should not
// be, always, with the file:line of whoever does it and no values of statements:
//
//   - a statement that takes the database SLOW_STATEMENT, with its rows;
//   - a connection that is held idle for HOLD_IDLE_WARN, with the line that took it, of
//     each route or task. Where a response waits for that, it is a stream that holds: a
//     warning, or an information where the code says so by name, KeepConnection or
//     [ModeSnapshot];
//   - a connection, its rows or its transaction, that is used after its release, with
//     both lines; and a scope that is used after its end, by a goroutine that it has
//     left behind, say;
//   - what a release has found open and had to end;
//   - in DEBUG, at the end of a scope, a statement that one line has sent five times and
//     more, with no pause of a second in between: one for all rows would do (N+1). What
//     [Iterate] reads in batches is one.
//
// Each is logged once a minute for each place; the next line says how many were left
// out. [Notices] do that, and bound what it costs. What is as it should be costs
// nothing.
//
// # Cancelling
//
// A statement ends with the context that it was given, when the client leaves, say, or at
// its deadline: the server stops it, and its connection lives on (PostgreSQL's cancel
// request, sqlite3_interrupt). No statement has a goroutine for that: contexts are watched
// from the moment on that a statement has run for two milliseconds.
//
// # Many rows
//
// [Iterate] reads them in batches and holds nothing in between, so that a stream may
// send each as slowly as its client reads. Where batches will not do, it reads a
// snapshot, and says by name that it holds a connection for it, or spools: see
// [IterateOptions] for which to take.
//
// # Ways out
//
// Nobody needs a second pool:
//
//   - [Conn.Raw], and postgres.Raw with pgx's types, lend the driver's own connection:
//     COPY, batches. It takes part in the block of its context.
//   - [Connections.SQLDB] is a *sql.DB over the same connections, for libraries.
//   - [Connections.Dedicated] is a connection that somebody keeps: a lock for hours,
//     say. It is none of MAX_CONNECTIONS, counted and shown apart. To LISTEN,
//     postgres.Listen takes one for all who subscribe to a hub.
//
// After a failover [Connections.Invalidate] gives up what was opened before. A server
// that becomes read-only is noticed without it.
package db

// Package live shows who holds which connection: it records what requests and tasks do
// with their connections, and serves a page that shows it while it happens.
//
// A [Recorder] observes [db.Connections]. It keeps the running records and the last ones
// that have ended, bounded in every direction, and no values of statements beyond the
// moment in which somebody looks. A [Page] is a stream of server-sent events, a document
// with a style sheet and a script, and nothing from elsewhere. Who may reach it is
// package app's affair.
package live

// Command bench compares a Quintet site with the stacks that one would otherwise
// write, side by side in one run: bare echo, echo with bun over database/sql, the
// same with echo's middleware for what a site does by default (recover, request id,
// security headers, body limit), the bare one in the exec mode that pgx has by itself and
// in the one that sends everything by the simple protocol, and net/http with pgxpool. Each has the same driver and number of connections, all are
// kept; each is asked over loopback by the same number of clients. Rounds are
// interleaved, and the order turns with each, so that a machine whose speed drifts
// drifts for all.
//
//	go run . -rounds 10 -round 1s -clients 8
//
// It prints, for each pair, the median of the rounds' ratios with their spread: of
// the requests per second, where more is better, and of the processor time that this
// process takes for one, where less is.
//
//	go run . pool -rounds 5
//
// compares the pool with database/sql's: a spike of callers on a pool with few idle
// connections, and a crowd of callers that is always there.
//
//	go run . downloads -rounds 10
//
// compares a stream of large chunks and one of short lines with net/http, which has a
// bufio.Writer for the lines, and says how late the lines of a slow source are. With
// -rounds 100 -share 0.05 there are more moments at which nothing else ran.
//
//	go run . export -rows 2000000 -rate 1048576
//
// lets a slow client download a large table in each mode of db.Iterate: for how long a
// connection is held, and the resident memory of the process that serves.
//
//	go run . hub -subscribers 2000
//
// tells how long a NOTIFY takes to the last of many subscribers of one listener.
//
//	go run . many -streams 5000 -chunks 20 -interval 200ms
//
// compares thousands of streams that run at once, over few connections, with bare echo
// that writes the same: what failed, the memory of each stream, the connections in use
// while they run, and how much of their rate queries keep beside them that come at a
// steady pace. Each stack serves from a process of its own.
//
//	go run . recording -rounds 20
//
// compares a site whose live page is open with the same one that nobody looks at.
//
// It starts a private PostgreSQL of its own and is a module of its own, so that
// rivals stay out of the framework's go.sum.
package main

// Command bench compares a Quintet site with the stacks that one would otherwise
// write, side by side in one run: bare echo, echo with bun over database/sql, the
// same with echo's middleware for what a site does by default (recover, request id,
// security headers, body limit), and net/http with pgxpool. Each has the same driver, exec mode and number of
// connections, all are kept; each is asked over loopback by the same number of
// clients. Rounds are interleaved, and the order turns with each, so that a
// machine whose speed drifts drifts for all.
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
//	go run . many -streams 5000 -chunks 20 -interval 200ms
//
// compares thousands of streams that run at once, over few connections, with bare echo
// that writes the same: what failed, the memory of each stream, the connections in use
// while they run, and how much of their rate queries keep beside them that come at a
// steady pace. Each stack serves from a process of its own.
//
// It starts a private PostgreSQL of its own and is a module of its own, so that
// rivals stay out of the framework's go.sum.
package main

// Package postgres is the engine for PostgreSQL: pgx below database/sql, bun's
// pgdialect above. A site names it once:
//
//	app.Options{Engines: []db.Engine{postgres.Engine{}}}
//
// and its settings choose it with ENGINE: postgres (or postgresql). NAME, USER,
// PASSWORD, HOST and PORT are Django's; HOST may be the folder of a unix socket,
// or several names with commas between them, which are tried in order. What they
// leave empty comes from where libpq takes it: the PG* variables of the
// environment, the service file, the password file, and its defaults. What they say
// is never overridden by any of these. Each connection asks them again, so that a
// password or a certificate can be replaced under a site that runs.
//
// A name is looked up for each connection too. Its addresses, and those of all hosts
// together, share CONNECT_TIMEOUT: one that is silent leaves time for the next.
//
// # OPTIONS
//
// Every key is one of four kinds:
//
//   - exec_mode: how statements travel; see below.
//   - options of the connection, with libpq's names and meaning: sslmode, sslrootcert,
//     sslcert, sslkey, sslpassword, sslcertmode, sslnegotiation, sslsni,
//     target_session_attrs, channel_binding, require_auth, service, servicefile,
//     passfile, krbspn, krbsrvname, min_protocol_version, max_protocol_version;
//     keepalives, keepalives_idle (30), keepalives_interval (10), keepalives_count
//     (3), in seconds, and tcp_user_timeout (4000), in milliseconds; and pgx's
//     statement_cache_capacity and description_cache_capacity.
//   - assume_role: Django's; the role of every session.
//   - anything else is a run-time parameter of the session (search_path,
//     statement_timeout, application_name). It is sent with the startup packet, so
//     that it survives a reset of the session.
//
// Keys that another setting covers (connect_timeout), and those of libpq that pgx
// has not, are errors that say so. Sessions have timezone UTC,
// standard_conforming_strings on, which bun's quoting needs, and the
// application_name "quintet" unless something else is said.
//
// # How statements travel
//
// bun writes arguments into the text of a statement, so hardly two texts are alike.
// pgx's own default, cache_statement, prepares each of them first: in the benchmark
// of this package it takes 1.7 to 2 times as long as exec, and leaves up to 512
// prepared statements behind on each connection. exec, the default here, sends
// every statement once and keeps nothing, which also suits PgBouncer. What has no
// arguments of its own and is one statement for certain (it begins with SELECT, WITH,
// INSERT, UPDATE or DELETE, and has no semicolon, not even in a string) goes by the
// simple protocol: one message to the server instead of five, in 0.9 to 0.95 of the time.
// simple_protocol does that with everything; the price is that a query whose text was
// pasted together can carry a second statement, and that the results of all but the
// first are dropped. An Exec without arguments may have several statements in every
// mode. Choose another with OPTIONS exec_mode: exec, simple_protocol, cache_describe,
// cache_statement, describe_exec.
//
// # What a session keeps
//
// What a holder leaves on a session (SET, SET ROLE, temporary tables, LISTEN,
// advisory locks, cursors WITH HOLD, PREPARE) is noticed in the text of the
// statements and taken back in one round trip. Not noticed is what a function of the
// database's own does inside; CONN_RESET: always is for sites with such
// functions. Nothing takes back what extensions keep of their own, such as dblink's
// connections, and temporary replication slots.
//
// # PgBouncer
//
// POOLER: pgbouncer is for PgBouncer's transaction mode, where each transaction may be
// on another session of the server. Connections are leased for a statement or a
// block (CONN_LEASE: transaction), statements travel in one round trip each (exec or
// simple_protocol), and nothing is reset. What cannot work is refused before it is
// sent, with what to do instead ([db.ErrNeedsSession]): SET without LOCAL, LISTEN,
// advisory locks of the session, temporary tables without ON COMMIT DROP, cursors WITH
// HOLD, prepared statements, [db.Connections.Dedicated], and in the settings what would
// be a startup parameter that PgBouncer does not know. Not seen is what a function of
// the database's own does inside, and what a [Raw] does. "manage migrate" takes an
// advisory lock: give it an alias that leads to the server itself. PgBouncer before
// 1.19 may deliver a cancel to the next transaction on the same session; in session
// mode, POOLER stays none.
//
// # Ways out
//
// [Raw] lends pgx's own connection, for COPY and batches. [Listen] is the source of a hub
// that LISTENs on one connection for all open pages of a process, and [Notify] what they
// hear. [RawOf] lends a connection of [db.Connections.Dedicated].
package postgres

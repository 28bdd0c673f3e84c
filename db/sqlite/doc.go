// Package sqlite is the engine for SQLite: modernc.org/sqlite below database/sql,
// which is pure Go and needs no C compiler, and bun's sqlitedialect above. A site
// names it once:
//
//	app.Options{Engines: []db.Engine{sqlite.Engine{}}}
//
// and its settings choose it with ENGINE: sqlite. NAME is the file, made with its
// folders when it is missing, or ":memory:" for one shared connection whose
// data goes with the process. There is no HOST, PORT, USER or PASSWORD.
//
// # OPTIONS
//
//   - timeout (5): Django's; how long a statement waits for another connection's
//     lock, in seconds, or as 500ms. Then it fails with SQLITE_BUSY.
//   - transaction_mode (immediate): Django's; what database/sql's BeginTx sends:
//     deferred, immediate or exclusive. Immediate ones wait for the write lock
//     when they begin; deferred ones fail at their first write when somebody else
//     has written since they began to read.
//   - init_command: Django's; SQL that runs on every new connection.
//   - journal_mode (wal), synchronous (normal), foreign_keys (on), auto_vacuum,
//     cache_size, mmap_size, temp_store, query_only: SQLite's pragmas.
//   - mode (rwc): ro, rw or rwc, as in SQLite's file names. With ro or rw a missing
//     file is an error.
//
// Within one process those who want to write wait for each other in order, as they do for
// a connection: for ACQUIRE_TIMEOUT, and who waits in vain is told who writes. The timeout
// above is for the locks of other processes, and for a transaction that began with
// reading.
//
// Anything else is an error. Times are written in UTC as bun writes them
// (2006-01-02 15:04:05.999999999+00:00) and come back as they were; text in double
// quotes is an identifier, never a string.
//
// # What SQLite has not
//
// There is no server. A look at a kept connection finds that its file was replaced
// or removed. A statement is stopped through its context, also while it waits for
// a lock, and rows between two of them. A session that was changed (PRAGMA, ATTACH,
// temporary tables) cannot be reset and is closed instead; only ":memory:", whose
// data would go with it, is cleaned as far as that is possible.
package sqlite

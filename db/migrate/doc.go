// Package migrate brings the tables of a database to what the files of a site's
// apps say, and back: Django's migrate and showmigrations, over plain SQL files.
//
//	migrator, err := migrate.New(db, "postgres", []migrate.Source{
//		{App: "auth", FS: auth.Migrations},
//		{App: "polls", FS: polls.Migrations},
//	}, migrate.Options{})
//	...
//	result, err := migrator.Up(ctx, nil)            // migrate
//	result, err = migrator.To(ctx, "polls", "0002", nil) // migrate polls 0002
//	statuses, err := migrator.Status(ctx)           // showmigrations
//
// The files are read and run by github.com/pressly/goose, without its command,
// its table and its registry of Go functions.
//
// # Files
//
// An app keeps its files in one folder, a file for each change. A name is four
// digits, an underscore, and words in lower case:
//
//	polls/migrations/
//	    0001_initial.sql
//	    0002_choice_votes.sql
//	    0003_search.sql             for every engine without a file of its own
//	    0003_search.postgres.sql    instead of it on PostgreSQL
//
// The numbers order the files of an app, gaps are fine. [Source].FS holds the
// files at its root, or in a folder "migrations", as an embedded one does. Other
// files beside them are left alone, and hidden ones too.
//
// A file has the comments of goose in it, each at the start of a line:
//
//	-- +goose Up
//	CREATE TABLE polls_question (
//	    id   bigint PRIMARY KEY,
//	    text text NOT NULL
//	);
//	INSERT INTO polls_question VALUES (1, 'semicolons; and
//
//	blank lines are kept');
//
//	-- +goose Down
//	DROP TABLE polls_question;
//
// Up is what the file does and Down what takes it back. Up must be there and may
// be empty. Without Down the migration is irreversible; with an empty Down there
// is nothing to take back.
//
// A statement ends at a line that ends with a semicolon. One that has such lines
// inside, as functions and triggers do, stands between two more comments:
//
//	-- +goose StatementBegin
//	CREATE FUNCTION ...
//	-- +goose StatementEnd
//
// A file runs in one transaction, so it has no BEGIN and no COMMIT. What cannot
// run in one (CREATE INDEX CONCURRENTLY, VACUUM, and SQLite's PRAGMA
// foreign_keys, which is ignored there) goes into a file that says, before
// anything else:
//
//	-- +goose NO TRANSACTION
//
// [New] reads every file, those for the other engine included, and reports all
// mistakes at once. What it has read is what runs, also when a file changes
// afterwards.
//
// # The table
//
// Applied migrations are the rows of one table for all apps, Django's
// django_migrations:
//
//	quintet_migrations (app text, name text, applied timestamptz, PRIMARY KEY (app, name))
//
// The first migration that runs creates it; on PostgreSQL in the first schema of
// the search_path, unless the path leads to one already. The row is written in
// the transaction of its file. A file that fails leaves nothing behind and stays
// pending; the files before it stay applied. A file without transaction writes
// its row last, and what it did before it failed stays.
//
// SQLite has no type for times: there they are RFC 3339 text in UTC.
//
// # Order
//
// Apps run in the order of the sources, each to its newest file before the next
// begins. Going back concerns one app.
//
// Nothing runs when the history makes no sense: a pending file that is older than
// an applied one of its app ([ErrInconsistentHistory]), or, going back, an applied
// one without Down or without file ([ErrIrreversible]).
//
// # Several processes at once
//
// Processes that migrate the same database wait for each other, at most
// [Options].LockTimeout. On PostgreSQL a run holds a session advisory lock. It
// is asked for again and again instead of waited for inside a statement: a
// waiting statement and the other's CREATE INDEX CONCURRENTLY would be a deadlock.
// A pooler that hands out servers by transaction makes such locks meaningless:
// migrate over a direct connection.
//
// SQLite locks its file during each transaction. Whoever comes second sees within
// his own that the history has moved, takes his attempt back and goes on with
// what is left. Only a file without transaction can run twice there when two
// processes start it at the same moment.
//
// A run needs one connection and no more: the lock, the table and the files share
// it. [Migrator.Status] and [Migrator.Pending] wait for no lock and write nothing.
package migrate

// Package commands is the manage command of a site: Django's manage.py.
//
//	package main
//
//	func main() { commands.Main(site.New) }
//
// The commands that every site has:
//
//	startproject NAME [DIR]    make a new project
//	startapp NAME              add an app to the project
//	runserver [ADDRESS]        serve the site for development, and follow its source
//	serve                      serve the site in production
//	check [APP...]             look for mistakes in the whole site
//	diffsettings               show what the settings change, and where
//	listurls                   list the addresses of the site, and what answers them
//	migrate [APP [NAME]]       bring the database to what the migration files say
//	showmigrations [APP...]    show what is applied and what is not
//	makemigrations APP         write the next migration file of an app, for you to fill
//	sqlmigrate APP NAME        print the SQL that a migration runs
//	dbshell [-- ARGUMENTS]     open the database's own shell
//	dbstatus [--advise]        show who holds which connection, in every process
//	ready                      say whether the processes of the site are ready to serve
//	test [PACKAGES] [-- FLAGS] run the tests, with a private PostgreSQL for all of them
//	completion SHELL           print what lets a shell complete commands and names
//	version                    print the version of Quintet
//	help [COMMAND]             explain a command
//
// The apps of the site and Main's extra commands add their own. One that has the
// name of a command above takes its place, as in Django; [Call] reaches the
// original from there.
//
// A program ends with 0 when all went well, with 1 when a command failed, and with
// 2 when it was asked for something that it does not understand. What went wrong is
// written to the standard error, and what to do about it on a line of its own.
// Interrupted (Ctrl-C, SIGTERM) a command may finish; at a second interrupt the
// program is gone.
//
// # Checks
//
// "check" runs the checks of the site, [app.Site.CheckWith]: without options those
// that ask no database, with --deploy also what matters in production only, with
// --database ALIAS also those that ask that database. Names of apps and --tag limit
// it. Problems are grouped by level on the standard error; the exit status is 1 when
// one has at least --fail-level. runserver runs "check" first and does not serve
// when it finds an error. app/CHECKS.md lists what the framework finds.
//
// # Status
//
// "dbstatus" asks every process that serves the site, over the sockets in ADMIN_SOCKETS,
// and the database's server or file. Of each alias it shows what the server says; a line
// for each process with how many connections are open, idle and leased, how many callers
// wait, how long the longest holder has held, and the ages of the connections; and a
// line for each holder: how long it has held, how much of that without a statement under
// way, whether a block or rows are open, its route or task, the line that took the
// connection, and its last statement without values. Of a SQLite file it tries the
// lock of writers for an instant, to see whether somebody has it.
//
// --json prints the same for programs; [app.Status] explains the part of each process.
// --advise computes with Little's law how many connections the load of each process
// needs, as it is and if every request kept its connection to its end, and shows the
// numbers. A process with DEBUG answers from what it has recorded; another one records
// for the time that --for says.
//
// --watch shows it again every second; elsewhere than on a terminal one below the other.
// The status is 1 when no process serves the site or something does not answer, and
// what is known is shown all the same.
//
// "ready" asks the same processes whether they can do their work, [app.Health], and is
// for the HEALTHCHECK of an image and for supervisors. Over the sockets they answer
// GET /ready and GET /live to any other client, too.
//
// # Tests
//
// "test" prints a line for each package, the output of what failed, the slowest tests
// (--slowest), and how many tests were skipped for which reason. --require=postgres
// turns the tests that PostgreSQL is missing for into failures; pgbouncer, nginx and
// systemd can be required, too.
//
// # The log
//
// It goes to the standard error: readable, and in colours, where that is a terminal, and
// as lines of JSON where it is not. serve writes JSON always, and --force-color what
// people read.
//
// # Serving in production
//
// Django leaves this to other programs; here it is the command serve: addresses,
// unix sockets and sockets that systemd passes, a log of JSON lines, and an end that
// loses nothing. At SIGTERM
//
//   - it stops accepting, and tells streams to end;
//   - requests have SHUTDOWN_TIMEOUT to finish, and every answer says that its
//     connection closes;
//   - a connection that is idle stays open for a second after its last answer. The
//     request that its client sends just then is answered, and not reset. nginx has to
//     give up its idle connections sooner: keepalive_timeout 500ms in the upstream. A
//     client that has been idle for longer can meet the moment in which its connection
//     closes, as with every server; it may ask again what may be asked twice.
//
// A restart without a failed request takes a socket that outlives the process, so that
// whoever connects in between waits in its queue: systemd keeps one and passes it
// (serve --fd), also to several processes that are restarted one after the other.
// With --reuse-port each process has a queue of its own, and what is in it is reset
// when the process ends, unless net.ipv4.tcp_migrate_req is 1.
//
// Over a unix socket clients have no address. TRUSTED_PROXIES: [unix] believes what the
// proxy says about them.
//
// # The development server
//
// runserver builds the site again when a file of it changes: Go, SQL, templates,
// static files, settings. The new process takes over when it listens, and until then
// the last good one serves; nothing fails in between. What does not compile, or does
// not start, is said in the terminal and shown in the browser. While DEBUG is true, pages
// in a browser load themselves again. With --noreload, without the source, or without
// Go it serves what is built.
//
// Two processes run: one that watches and one that serves. Both make the site, so
// that Ready runs in both; see [app.App]. Package reload has the details.
//
// # Differences from Django
//
// The site is made by a function instead of found by a variable, so that help and
// version work without settings. Every command runs in a scope of its own, and
// every connection is closed at the end. The options of every command are --settings,
// --traceback, --no-color and --force-color; there is no --verbosity, because
// LOG_LEVEL says it, and no --pythonpath. There is no --skip-checks either: problems
// are silenced one by one, SILENCED_SYSTEM_CHECKS.
//
// Migrations are SQL, so that makemigrations writes empty ones only. diffsettings tells
// where each value comes from, and hides secrets.
package commands

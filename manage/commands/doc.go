// Package commands is the manage command of a site: Django's manage.py.
//
//	package main
//
//	func main() { commands.Main(site.New) }
//
// The commands that every site has:
//
//	runserver [ADDRESS]        serve the site for development
//	migrate [APP [NAME]]       bring the database to what the migration files say
//	showmigrations [APP...]    show what is applied and what is not
//	test [PACKAGES] [-- FLAGS] run the tests, with a private PostgreSQL for all of them
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
// # Differences from Django
//
// The site is made by a function instead of found by a variable, so that help and
// version work without settings. Every command runs in a scope of its own, and
// every connection is closed at the end. The options of every command are --settings,
// --traceback, --no-color and --force-color; there is no --verbosity, because
// LOG_LEVEL says it, and no --pythonpath.
package commands

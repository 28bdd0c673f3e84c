// Package reload lets a program that serves HTTP follow its own source: when a file
// changes it is built again, and the new process takes the place of the old one when
// it listens. It is what runserver does unless it is told --noreload.
//
// Two processes share the work, and both are the same program:
//
//   - the parent, [Run], owns the listener, watches the files, builds, and passes each
//     request on to the process that serves. It never serves the site itself;
//   - the child, [Inherit], serves the site on a listener that it gets from its parent.
//
// # What holds
//
// No request fails because of a swap: those that the old process has begun end there,
// later ones go to the new one. Its streams are told to end, as at any shutdown, and
// their clients connect again. Nothing is buffered, and the address of the client is
// that of the client.
//
// Whatever does not build, or does not start, changes nothing: the last good process
// serves on. What is wrong is written to the terminal and shown to browsers that ask
// for a page. The last state of the files wins, whenever they were saved.
//
// Files that are embedded into the program are part of it, so that they are built
// into it again: there is one mechanism, and what the browser shows is what the
// program has.
//
// A child ends with its parent, however that one ends: it holds a pipe that nobody
// writes to, whose end it would read.
package reload

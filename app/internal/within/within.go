// Package within holds what package app shares with its own helpers, and with
// nobody else: the keys by which it hands the router that it stands on to package
// app/echov4, and the place where package app/apptest leaves what a test wants of
// the site that it makes.
package within

// Router is the key of the router in the context of a site.
type Router struct{}

// Context is the key of the router's own context in the context of a request that
// it has routed.
type Context struct{}

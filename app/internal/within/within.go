// Package within holds the keys by which package app hands the router that it
// stands on to package app/echov4, and to nobody else: the types of that router
// appear in no signature of app.
package within

// Router is the key of the router in the context of a site.
type Router struct{}

// Context is the key of the router's own context in the context of a request that
// it has routed.
type Context struct{}

// Package rivertest shows that River, a job queue, works over the *sql.DB of a site. It
// is a module of its own, so that River stays out of the framework's go.sum.
package rivertest

// Package debug makes the page that a site with DEBUG shows for an error: Django's
// technical pages. The code of the site comes first, with its source lines; then the
// request, the settings, and what the request did with its database connections.
//
// The page needs nothing but what it is given. It has one document without scripts,
// images or fonts, reads no template of the site, asks no database,
// and calls nothing of the site but the Error, Unwrap and Hint methods of the error,
// whose panics are shown as such. What of it cannot be made is left out; when nothing
// can, there is text.
//
// Secrets are hidden twice: values by the name that they have, as Django's
// SafeExceptionReporterFilter does; and wherever else on the page such a value
// stands, in the text of an error or in a line of source. Statements have no values.
// All of it is bounded.
package debug

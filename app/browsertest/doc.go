// Package browsertest shows what a real browser makes of a site: Chromium, driven from
// Go. It is a module of its own, so that the driver stays out of the framework's go.sum.
package browsertest

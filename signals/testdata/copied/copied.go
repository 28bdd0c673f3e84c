// Package copied does what go vet must report: it copies a bus and a signal.
package copied

import "github.com/goquintet/quintet/signals"

func bus(site *signals.Bus) signals.Bus {
	return *site
}

func signal(site *signals.Bus) bool {
	started := site.RequestStarted
	return started.HasReceivers()
}

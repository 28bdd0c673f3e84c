package commands

import (
	"fmt"
	"strings"
	"time"

	"github.com/goquintet/quintet/app"
)

// slowClient is how long a write may take before its client counts as slow.
const slowClient = time.Second

// describeStreams is a line for each process that streams, or has refused to.
func describeStreams(processes []processReport) string {
	var b strings.Builder
	for _, p := range processes {
		if p.Status == nil || p.Status.Site.Streams == 0 && p.Status.Site.RefusedStreams == 0 {
			continue
		}
		fmt.Fprintf(&b, "\nstreams of %d: %s\n", p.PID, printable(streamsOf(p.Status)))
	}
	return b.String()
}

// streamsOf says of a process what its numbers and its oldest streams say.
func streamsOf(status *app.Status) string {
	slow, kept := 0, 0
	for _, s := range status.Streams {
		waits := s.AgeSeconds
		if s.Written != nil {
			waits = status.Process.Now.Sub(*s.Written).Seconds()
		}
		if s.State == "writing" && seconds(waits) >= slowClient {
			slow++
		}
		if s.KeepConnection {
			kept++
		}
	}
	words := []string{fmt.Sprint(status.Site.Streams)}
	if len(status.Streams) > 0 {
		oldest := status.Streams[0]
		words = append(words, fmt.Sprintf("the oldest %s for %s", oldest.Route, short(seconds(oldest.AgeSeconds))))
	}
	for _, one := range []struct {
		n    int64
		what string
	}{{int64(slow), "waiting for a slow client"}, {int64(kept), "keeping a connection"}, {status.Site.RefusedStreams, "refused so far"}} {
		if one.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", one.n, one.what))
		}
	}
	return strings.Join(words, ", ")
}

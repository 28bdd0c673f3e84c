//go:build unix

package postgres_test

import (
	"context"
	"syscall"
	"testing"
	"time"
)

// Checkout, a look at the socket, the entry among the holders, and the give-back. The
// processor time tells more than the clock on a machine that does other things as well.
func BenchmarkLease(b *testing.B) {
	p, owner := leases(b, settings(b, running(b)), false), &somebody{}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	use(ctx, b, p, owner)
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		lease(ctx, b, p, owner)
	}
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

package dbtest

import (
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

const (
	goroutineLabel = "quintet-test"
	goroutineLimit = 5 * time.Second
)

// Goroutines fails the test when goroutines are left at its end that it has started:
// itself or through others, in whatever package. Nothing is ignored. Tests that
// run at the same time do not disturb each other: goroutines inherit the profiler
// label that this call sets. Call it first, so that it looks last.
//
// A function of time.AfterFunc runs in a goroutine without a label, and so does
// what it starts.
func Goroutines(t testing.TB) {
	t.Helper()
	label := fmt.Sprintf("%s-%p", t.Name(), t)
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(goroutineLabel, label)))
	t.Cleanup(func() {
		pprof.SetGoroutineLabels(context.Background()) // this one is not left
		// One that has been told to end may need a moment for its last steps.
		deadline := time.Now().Add(goroutineLimit)
		again := time.NewTicker(time.Millisecond)
		defer again.Stop()
		left := labelled(t, label)
		for left != "" && time.Now().Before(deadline) {
			<-again.C
			left = labelled(t, label)
		}
		if left != "" {
			t.Errorf("dbtest: goroutines of this test are left:\n%s", left)
		}
	})
}

// labelled returns the part of the goroutine profile with the label.
func labelled(t testing.TB, label string) string {
	var profile strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	var left strings.Builder
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(stack, fmt.Sprintf("%q:%q", goroutineLabel, label)) {
			left.WriteString(stack + "\n\n")
		}
	}
	return left.String()
}

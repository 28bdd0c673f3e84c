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
	goroutineLimit = 10 * time.Second
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
		// One that has been told to end may need a moment for its last steps, and on a
		// busy machine some seconds. Each look stops the whole process, so that a
		// hundred tests must not look all the time.
		deadline := time.Now().Add(goroutineLimit)
		left := labelled(t, label)
		for wait := time.Millisecond; left != "" && time.Now().Before(deadline); wait = min(2*wait, goroutineLimit/100) {
			<-time.After(wait)
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

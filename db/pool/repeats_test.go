package pool_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

func TestRepeats_AreOfOneStatementAndOneLine(t *testing.T) {
	t.Parallel()
	var r pool.Repeats
	now := time.Now()
	for i := range 6 {
		r.Add("SELECT ?", "a.go:1", now, time.Millisecond)
		r.Add("SELECT ?", "b.go:1", now, time.Millisecond)
		if i < 4 {
			r.Add("SELECT * FROM t WHERE id = ?", "a.go:1", now, time.Millisecond)
		}
		now = now.Add(10 * time.Millisecond)
	}
	got := r.AtLeast(pool.ManyRepeats)
	want := []pool.Repeated{{Query: "SELECT ?", At: "a.go:1", Count: 6, Took: 6 * time.Millisecond}, {Query: "SELECT ?", At: "b.go:1", Count: 6, Took: 6 * time.Millisecond}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	expect(t, "four are not five", len(r.AtLeast(4)), 3)
}

// Who asks every second whether there is news does not repeat himself.
func TestRepeats_APauseBeginsAnew(t *testing.T) {
	t.Parallel()
	var r pool.Repeats
	now := time.Now()
	for range 100 {
		r.Add("SELECT ?", "poll.go:1", now, 5*time.Second)
		now = now.Add(6 * time.Second)
	}
	expect(t, "repeats of who polls", len(r.AtLeast(2)), 0)
	for range 7 { // slow ones follow each other at once
		r.Add("SELECT ?", "poll.go:1", now, 5*time.Second)
		now = now.Add(5 * time.Second)
	}
	for range 2 {
		now = now.Add(time.Hour)
		r.Add("SELECT ?", "poll.go:1", now, 0)
	}
	if got := r.AtLeast(2); len(got) != 1 || got[0].Count != 7 || got[0].Took != 35*time.Second {
		t.Errorf("the longest of its bursts is told as %+v", got)
	}
}

func TestRepeats_TakeBoundedMemory(t *testing.T) {
	t.Parallel()
	var r pool.Repeats
	for i := range 3000 {
		r.Add(fmt.Sprint("SELECT c", i), "a.go:1", time.Now(), 0)
	}
	expect(t, "statements", len(r.AtLeast(1)), 1000)
}

func TestRepeated_HintIsForReadingOrForWriting(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"SELECT ?": "IN", "with x as (select ?) select ?": "IN", "insert into t values (?)": "slice", "\n UPDATE t SET a = ?": "Bulk", "DELETE FROM t": "IN", "": "IN",
	} {
		one := pool.Repeated{Query: query}
		if hint := one.Hint(); !strings.Contains(hint, want) {
			t.Errorf("%q: %s", query, hint)
		}
	}
}

// Batches of rows are how many rows are written.
func TestRepeats_BatchesOfRowsAreNone(t *testing.T) {
	t.Parallel()
	var r pool.Repeats
	now := time.Now()
	add := func(query string) { r.Add(pool.Normalize(query, 400), "seed.go:58", now, time.Millisecond) }
	for i := range 30 {
		add(fmt.Sprintf("INSERT INTO t (id, name) VALUES %s(%d, 'last')", strings.Repeat(fmt.Sprintf("(%d, 'a'), ", i), 500), i))
		add(fmt.Sprintf("insert into u values (%d),(2)", i))
		add(fmt.Sprintf("INSERT INTO v (id, name) VALUES (%d, 'one (of), (many)')", i))
	}
	got := r.AtLeast(pool.ManyRepeats)
	if len(got) != 1 || !strings.HasPrefix(got[0].Query, "INSERT INTO v") || got[0].Count != 30 {
		t.Errorf("%v, want the rows that come one by one", got)
	}
}

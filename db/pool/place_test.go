package pool_test

import (
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/goquintet/quintet/db/pool"
)

// line is the line that calls it.
func line(t *testing.T) string {
	t.Helper()
	_, file, number, ok := runtime.Caller(1)
	if !ok {
		t.Fatal("no caller")
	}
	return path.Join(path.Base(path.Dir(file)), path.Base(file)) + ":" + strconv.Itoa(number)
}

// near is the line so many below another one.
func near(t *testing.T, line string, below int) string {
	t.Helper()
	file, text, _ := strings.Cut(line, ":")
	number, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return file + ":" + strconv.Itoa(number+below)
}

func TestPlace_IsTheLineOfTheCaller(t *testing.T) {
	t.Parallel()
	here, want := pool.Here(0), line(t)
	expect(t, "the place", here.String(), want)
	func() { here = pool.Here(1) }()
	want = line(t)
	expect(t, "the place of the caller's caller", here.String()[:len(want)-3], want[:len(want)-3])
}

func TestPlace_NothingTakenIsNowhere(t *testing.T) {
	t.Parallel()
	var nowhere pool.Place
	expect(t, "zero", nowhere.IsZero(), true)
	expect(t, "the text", nowhere.String(), "an unknown place")
	here := pool.Here(0)
	expect(t, "zero", here.IsZero(), false)
	beyond := pool.Here(1000)
	expect(t, "beyond the stack", beyond.IsZero(), true)
}

// byLibrary returns a function whose calls of take go through package sync. It is not
// inlined, because the compiler names a closure after the function that it is inlined into.
//
//go:noinline
func byLibrary(take func() pool.Place) func() pool.Place {
	return once(sync.OnceValue[pool.Place], take)
}

//go:noinline
func once(of func(func() pool.Place) func() pool.Place, take func() pool.Place) func() pool.Place {
	return of(take)
}

func TestPlace_FramesOfTheLibrariesAreSkipped(t *testing.T) {
	t.Parallel()
	var p pool.Pool
	take := byLibrary(p.Here)
	here, want := take(), line(t)
	expect(t, "the place", here.String(), want)
	frames := here.Frames()
	if len(frames) < 2 || path.Base(frames[0].Function) != "pool_test.TestPlace_FramesOfTheLibrariesAreSkipped" || frames[1].Function != "testing.tRunner" {
		t.Errorf("the frames are %v", frames)
	}
}

func TestPlace_NeedsNoPool(t *testing.T) {
	t.Parallel()
	var none *pool.Pool
	take := byLibrary(none.Here)
	here, want := take(), line(t)
	expect(t, "the place", here.String(), want)
}

// The user's line may be farther away than is looked at first, behind libraries alone.
func TestPlace_IsFoundFarAway(t *testing.T) {
	t.Parallel()
	var p pool.Pool
	deep := byLibrary(p.Here)
	for range 8 { // each is three calls of the library
		deep = byLibrary(deep)
	}
	here, want := deep(), line(t)
	expect(t, "the place", here.String(), want)
}

// called is inlined into its caller, and so is what calls the library in it.
func called(take func() pool.Place) pool.Place { return take() }

func TestPlace_InlinedFunctionsHaveTheirLines(t *testing.T) {
	t.Parallel()
	var p pool.Pool
	here := called(byLibrary(p.Here))
	want := line(t)
	frames := here.Frames()
	if len(frames) < 2 || path.Base(frames[0].Function) != "pool_test.called" {
		t.Fatalf("the frames are %v", frames)
	}
	at := path.Join("pool", path.Base(frames[1].File)) + ":" + strconv.Itoa(frames[1].Line)
	expect(t, "the caller's place", near(t, at, 1), want)
}

// What a goroutine was started with ends its calls.
func TestPlace_EndsWithItsGoroutine(t *testing.T) {
	t.Parallel()
	var p pool.Pool
	taken := make(chan pool.Place)
	go func() { taken <- byLibrary(p.Here)() }()
	here := <-taken
	frames := here.Frames()
	if len(frames) == 0 || !strings.Contains(frames[0].Function, "TestPlace_EndsWithItsGoroutine") {
		t.Fatalf("the frames are %v", frames)
	}
	for _, f := range frames {
		if f.Function == "testing.tRunner" {
			t.Errorf("a goroutine of its own knows who started it: %v", frames)
		}
	}
}

// The calls that led to a place are known, and none of a place that was not taken.
func TestPlace_KnowsTheCalls(t *testing.T) {
	t.Parallel()
	here := pool.Here(0)
	frames := here.Frames()
	if len(frames) < 2 || path.Base(frames[0].Function) != "pool_test.TestPlace_KnowsTheCalls" || frames[1].Function != "testing.tRunner" {
		t.Errorf("the frames are %v", frames)
	}
	expect(t, "the line", path.Join("pool", path.Base(frames[0].File))+":"+strconv.Itoa(frames[0].Line), here.String())
	var nowhere pool.Place
	expect(t, "frames of nowhere", len(nowhere.Frames()), 0)
}

func TestPlace_CostsNoAllocation(t *testing.T) {
	var place pool.Place
	expect(t, "allocations", testing.AllocsPerRun(100, func() { place = pool.Here(0) }), 0)
	var p pool.Pool
	place = p.Here() // it learns whose lines these are
	expect(t, "allocations of a statement's", testing.AllocsPerRun(100, func() { place = p.Here() }), 0)
	_ = place
}

// Eight lines on the way of a statement are known beside each other, wherever in the
// program they are.
func TestPlace_NoLineIsForgottenForAnother(t *testing.T) {
	for far := uintptr(1); far < 1<<40; far <<= 1 {
		var p pool.Pool
		look := func() {
			for i := range uintptr(8) {
				p.IsUsers(4096 + i*far)
			}
		}
		look()
		expect(t, "allocations of eight that are "+strconv.Itoa(int(far))+" bytes apart", testing.AllocsPerRun(2, look), 0)
	}
}

// A statement's place beside one that the runtime looks for.
func BenchmarkPlace(b *testing.B) {
	var place pool.Place
	b.Run("statement", func(b *testing.B) {
		var p pool.Pool
		for b.Loop() {
			place = p.Here()
		}
	})
	b.Run("runtime", func(b *testing.B) {
		for b.Loop() {
			place = pool.Here(0)
		}
	})
	_ = place
}

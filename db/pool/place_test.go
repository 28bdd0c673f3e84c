package pool_test

import (
	"path"
	"runtime"
	"strconv"
	"strings"
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

// scanned takes the place of who called database/sql.
type scanned struct {
	pool  *pool.Pool
	place pool.Place
}

func (s *scanned) Scan(any) error {
	s.place = s.pool.Here(1)
	return nil
}

func TestPlace_FramesOfTheLibrariesAreSkipped(t *testing.T) {
	bubble(t, &network{}, nil, func(t *testing.T, p *pool.Pool) {
		l := acquire(t, p)
		rows := rowsOf(t, l, "rows")
		s := scanned{pool: p}
		err, want := rows.Scan(&s), line(t)
		if err != nil {
			t.Error(err)
		}
		expect(t, "the place", s.place.String(), want)
		giveBack(l)
	})
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
	_ = place
}

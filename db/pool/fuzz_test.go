package pool_test

import (
	"context"
	"log/slog"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goquintet/quintet/db/pool"
)

// A connection serves until its age and never beyond it, less up to a twentieth that
// nobody knows before, and leaves when it has idled for long enough: whatever the
// settings say, and whenever somebody comes.
func FuzzAge(f *testing.F) {
	f.Add(int64(time.Hour), int64(time.Minute), int64(57*time.Minute), int64(3*time.Minute))
	f.Add(int64(1), int64(1), int64(0), int64(1))
	f.Add(int64(0), int64(-1), int64(time.Second), int64(0))
	f.Add(int64(-1), int64(-1), int64(math.MaxInt64/4), int64(math.MaxInt64/4))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64/4), int64(time.Second))
	f.Add(int64(19), int64(-1), int64(18), int64(1))
	f.Fuzz(func(t *testing.T, age, idle, first, second int64) {
		if age < -1 || idle < -1 || idle == 0 || first < 0 || second < 0 || first > math.MaxInt64/4 || second > math.MaxInt64/4 {
			return // Settings.Validate says no, or it is beyond the clock of a bubble
		}
		synctest.Test(t, func(t *testing.T) {
			n := &network{}
			p := pool.New(pool.Config{
				Alias: "default", Driver: n, Max: 1, AcquireTimeout: time.Second, ConnectTimeout: time.Second,
				MaxAge: time.Duration(age), MaxIdle: time.Duration(idle), Logger: slog.New(slog.DiscardHandler),
			})
			defer func() {
				if err := p.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			began := time.Now()
			for _, pause := range []int64{first, second} {
				if err := use(p, "anything"); err != nil {
					t.Fatal(err)
				}
				opened := n.of(&n.dials)
				if opened == 2 {
					return // the second pause is another connection's
				}
				time.Sleep(time.Duration(pause))
				synctest.Wait()
				lived, before := time.Since(began), n.of(&n.dials)
				if err := use(p, "anything"); err != nil {
					t.Fatal(err)
				}
				renewed := n.of(&n.dials) > before
				idled := idle > 0 && pause >= idle || age == 0
				switch {
				case !renewed && age >= 0 && int64(lived) >= age:
					t.Errorf("with an age of %s it serves after %s", time.Duration(age), lived)
				case !renewed && idled:
					t.Errorf("with a limit of %s it serves after idling for %s", time.Duration(idle), time.Duration(pause))
				case renewed && !idled && (age < 0 || int64(lived) < age-age/20-1):
					t.Errorf("with an age of %s it is gone after %s", time.Duration(age), lived)
				case renewed:
					return
				}
			}
		})
	})
}

package commands

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/admin"
	"github.com/goquintet/quintet/app/live"
)

// longestAdvice is how long a process records for an advice.
const longestAdvice = time.Minute

// advised is what one process says about its load, or why it does not.
type advised struct {
	PID    int           `json:"pid"`
	Socket string        `json:"socket"`
	Error  string        `json:"error,omitempty"`
	Advice []live.Advice `json:"advice,omitempty"`
}

// advise asks every process what its load needs. One that does not record by itself
// does it for so long.
func (c *cli) advise(ctx context.Context, site *app.Site, aliases []string, o statusOptions) error {
	switch {
	case o.watch:
		return misuse("say one of them", "--advise looks at a time, and --watch at each moment")
	case o.span <= 0 || o.span > longestAdvice:
		return misuse("say a time such as 10s", "--for is %s; a process records for %s at most", o.span, longestAdvice)
	}
	found, err := admin.Processes(ctx, site.AdminFolders()...)
	if len(found) == 0 && err == nil {
		err = nobody(site)
	}
	all := make([]advised, len(found))
	var asking sync.WaitGroup
	for i, p := range found {
		asking.Go(func() { all[i] = askAdvice(ctx, p, aliases, o.span) })
	}
	asking.Wait()
	slices.SortFunc(all, func(a, b advised) int { return cmp.Compare(a.PID, b.PID) })
	for _, p := range all {
		if p.Error != "" {
			err = errors.Join(err, &Error{Problem: fmt.Sprintf("the process %d does not say what it needs: %s", p.PID, p.Error), Hint: "its socket is " + p.Socket})
		}
	}
	if o.json {
		encoder := json.NewEncoder(c.env.Stdout)
		encoder.SetIndent("", "  ")
		return errors.Join(encoder.Encode(all), err)
	}
	c.sayf(c.env.Stdout, "%s", c.describeAdvice(aliases, all))
	return err
}

func askAdvice(ctx context.Context, p admin.Process, aliases []string, span time.Duration) advised {
	ctx, cancel := context.WithTimeout(ctx, span+askLimit)
	defer cancel()
	a := advised{PID: p.PID, Socket: p.Socket}
	body, err := p.Get(ctx, live.Root+"advice?for="+span.String())
	if err == nil {
		err = json.Unmarshal(body, &a.Advice)
	}
	if err != nil {
		a.Error = strings.TrimPrefix(err.Error(), "admin: ")
	}
	a.Advice = slices.DeleteFunc(a.Advice, func(one live.Advice) bool { return !slices.Contains(aliases, one.Alias) })
	return a
}

// describeAdvice is the advice for people: the numbers, the formula and what to set.
func (c *cli) describeAdvice(aliases []string, all []advised) string {
	var b strings.Builder
	for _, alias := range aliases {
		t := &textTable{style: c.out, indent: "  ", right: map[int]bool{2: true, 3: true, 4: true, 5: true, 6: true, 7: true}}
		t.header("PROCESS", "CONNECTIONS ARE", "RECORDED", "λ", "W", "L = λ × W", "BUSIEST 5s", "NEEDED")
		var worst live.Advice
		for _, p := range all {
			for _, a := range p.Advice {
				if a.Alias != alias {
					continue
				}
				for name, l := range loads(a) {
					t.add(cell{text: strconv.Itoa(p.PID)}, cell{text: name}, cell{text: short(seconds(a.Seconds))}, cell{text: amount(l.Rate) + "/s"},
						cell{text: took(l.Time)}, cell{text: amount(l.InUse)}, cell{text: amount(l.Peak)}, cell{text: strconv.Itoa(l.Needed)})
				}
				worst.Max = max(worst.Max, a.Max)
				worst.Early.Needed = max(worst.Early.Needed, a.Early.Needed)
				worst.Without.Needed = max(worst.Without.Needed, a.Without.Needed)
			}
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s\n", c.out.paint(bold, printable(alias)))
		if len(t.rows) == 1 {
			b.WriteString("  nobody has asked for a connection meanwhile: there is nothing to compute with\n")
			continue
		}
		b.WriteString(t.String())
		fmt.Fprintf(&b, "  Little's law: L are in use on average when λ begin in a second and each lasts W. NEEDED is L of the\n"+
			"  busiest five seconds, and room for chance: L + 3 × √L.\n"+
			"  This load needs MAX_CONNECTIONS: %s in each process; it is %d. Without early release it would need %d.\n",
			c.out.paint(bold, strconv.Itoa(worst.Early.Needed)), worst.Max, worst.Without.Needed)
	}
	return b.String()
}

// loads are the two rows of a process, in their order.
func loads(a live.Advice) func(yield func(string, live.Load) bool) {
	return func(yield func(string, live.Load) bool) {
		_ = yield("released early", a.Early) && yield("kept to the end", a.Without)
	}
}

// amount is a number with as many digits as people read.
func amount(v float64) string {
	digits := 2
	if v >= 10 {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// took is a mean time.
func took(s float64) string {
	d := seconds(s)
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return short(d)
}

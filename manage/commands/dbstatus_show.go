package commands

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goquintet/quintet/app"
)

// describeReport is a report for people.
func (c *cli) describeReport(report statusReport, watching bool) string {
	var b strings.Builder
	if watching {
		fmt.Fprintf(&b, "%s\n", report.Time.Format(time.TimeOnly))
		for _, problem := range report.Problems {
			fmt.Fprintf(&b, "%s\n", c.out.paint(yellow, printable(problem)))
		}
		b.WriteByte('\n')
	}
	for i, d := range report.Databases {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s  %s\n", c.out.paint(bold, printable(d.Alias)), printable(d.Engine+", "+cmp.Or(d.Name, "no name")))
		for _, line := range c.describeDatabase(d) {
			fmt.Fprintf(&b, "  %s\n", line)
		}
		b.WriteString(c.describeProcesses(d.Alias, report.Processes))
		b.WriteString(c.describeHolders(d, report.Processes))
		b.WriteString(c.describeWaiters(d.Alias, report.Processes))
	}
	b.WriteString(describeStreams(report.Processes))
	return b.String()
}

// describeDatabase are the lines of what the server says.
func (c *cli) describeDatabase(d databaseReport) (lines []string) {
	if d.Error != "" {
		lines = append(lines, c.out.paint(red, "cannot be asked: "+printable(d.Error)))
	}
	if p := d.Postgres; p != nil {
		replica := ""
		if p.Replica {
			replica = ", a replica"
		}
		lines = append(lines, fmt.Sprintf("PostgreSQL %s%s: %d of %d connections, %d of them reserved", printable(p.Version), replica, p.Connections, p.MaxConnections, p.Reserved))
		lines = append(lines, applications(p.Activity)...)
	}
	if s := d.SQLite; s != nil && s.Missing {
		lines = append(lines, "there is no such file yet")
	} else if s != nil && s.Version != "" {
		text := fmt.Sprintf("SQLite %s: %s, journal %s", s.Version, size(s.Bytes), s.JournalMode)
		if s.Path == ":memory:" {
			text = fmt.Sprintf("SQLite %s: in memory, each process has its own", s.Version)
		}
		if s.WALBytes > 0 {
			text += " (" + size(s.WALBytes) + ")"
		}
		if s.Busy {
			text += c.out.paint(yellow, ", somebody is writing")
		}
		lines = append(lines, text)
	}
	return lines
}

// applications puts the states of an application on one line.
func applications(all []activity) (lines []string) {
	for i, a := range all {
		state := fmt.Sprintf("%d %s", a.Count, cmp.Or(a.State, "not shown to this user"))
		if a.State != "" && a.State != "idle" {
			state += fmt.Sprintf(" (up to %s)", short(seconds(a.LongestSeconds)))
		}
		state = printable(state)
		if i > 0 && all[i-1].Application == a.Application {
			lines[len(lines)-1] += ", " + state
			continue
		}
		lines = append(lines, fmt.Sprintf("%s: %s", printable(cmp.Or(a.Application, "(no name)")), state))
	}
	return lines
}

// describeProcesses is a line for each process.
func (c *cli) describeProcesses(alias string, processes []processReport) string {
	t := &textTable{style: c.out, indent: "  ", right: map[int]bool{2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true}}
	t.header("PROCESS", "ADDRESS", "UP", "OPEN", "MAX", "IDLE", "LEASED", "WAITING", "LONGEST", "AGES")
	for _, p := range processes {
		pid := cell{text: strconv.Itoa(p.PID)}
		if p.Status == nil {
			t.add(pid, cell{p.Error, red})
			continue
		}
		d, ok := databaseOf(p.Status, alias)
		if !ok {
			continue // it has other settings
		}
		waiting := cell{text: strconv.Itoa(d.Waiting + d.Writers)}
		if d.Waiting+d.Writers > 0 {
			waiting.colour = yellow
		}
		longest := 0.0
		for _, one := range d.Connections {
			if one.Holder != nil && !one.Holder.Dedicated { // those hold for good
				longest = max(longest, one.Holder.HeldSeconds)
			}
		}
		held := cell{}
		if longest > 0 {
			held.text = short(seconds(longest))
		}
		t.add(pid, cell{text: strings.Join(p.Status.Process.Addresses, ",")}, cell{text: short(p.Status.Process.Now.Sub(p.Status.Process.Started))},
			cell{text: strconv.Itoa(d.Open)}, cell{text: strconv.Itoa(d.Max)}, cell{text: strconv.Itoa(d.Idle)}, cell{text: strconv.Itoa(d.InUse)},
			waiting, held, cell{text: ages(d.Connections)})
	}
	if len(t.rows) == 1 {
		return ""
	}
	return "\n" + t.String()
}

func databaseOf(status *app.Status, alias string) (app.DatabaseStatus, bool) {
	i := slices.IndexFunc(status.Databases, func(d app.DatabaseStatus) bool { return d.Alias == alias })
	if i < 0 {
		return app.DatabaseStatus{}, false
	}
	return status.Databases[i], true
}

// ages are those of the youngest and the oldest connection.
func ages(connections []app.ConnectionStatus) string {
	if len(connections) == 0 {
		return ""
	}
	compare := func(a, b app.ConnectionStatus) int { return cmp.Compare(a.AgeSeconds, b.AgeSeconds) }
	youngest, oldest := slices.MinFunc(connections, compare), slices.MaxFunc(connections, compare)
	first, last := short(seconds(youngest.AgeSeconds)), short(seconds(oldest.AgeSeconds))
	if first == last {
		return last
	}
	return first + ".." + last
}

// describeHolders is a line for each holder, the one who has held longest first.
func (c *cli) describeHolders(database databaseReport, processes []processReport) string {
	type held struct {
		pid int
		app.HolderStatus
	}
	var all []held
	for _, p := range processes {
		if p.Status == nil {
			continue
		}
		d, _ := databaseOf(p.Status, database.Alias)
		for _, one := range d.Connections {
			if one.Holder != nil {
				all = append(all, held{p.PID, *one.Holder})
			}
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.SortStableFunc(all, func(a, b held) int { return cmp.Compare(b.HeldSeconds, a.HeldSeconds) })
	t := &textTable{style: c.out, indent: "  ", right: map[int]bool{1: true, 2: true}}
	t.header("PROCESS", "HELD", "IDLE", "BLOCK", "HOLDER", "AT", "LAST STATEMENT")
	for _, h := range all {
		idle := cell{text: short(seconds(h.IdleSeconds))}
		if limit := database.idleWarn; limit > 0 && seconds(h.IdleSeconds) >= limit && !h.Dedicated && !h.Kept {
			idle.colour = yellow
		}
		name := cell{text: h.Name}
		switch {
		case h.Dedicated:
			name.text += " (dedicated)"
		case h.Streaming:
			name.text += " (streaming)"
		case h.Kept:
			name.text += " (kept)"
		}
		t.add(cell{text: strconv.Itoa(h.pid)}, cell{text: short(seconds(h.HeldSeconds))}, idle, cell{text: block(h.HolderStatus)},
			name, cell{text: h.At}, cell{text: h.LastStatement})
	}
	return "\n" + t.String()
}

// mostWaiters are listed; the others are counted.
const mostWaiters = 10

// describeWaiters is a line for each who waits, the one who has waited longest first.
func (c *cli) describeWaiters(alias string, processes []processReport) string {
	type waits struct {
		pid int
		app.WaiterStatus
	}
	var all []waits
	for _, p := range processes {
		if p.Status == nil {
			continue
		}
		d, _ := databaseOf(p.Status, alias)
		for _, one := range d.Waiters {
			all = append(all, waits{p.PID, one})
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.SortStableFunc(all, func(a, b waits) int { return cmp.Compare(b.WaitedSeconds, a.WaitedSeconds) })
	t := &textTable{style: c.out, indent: "  ", right: map[int]bool{1: true}}
	t.header("PROCESS", "WAITED", "FOR", "WAITER", "AT")
	for _, w := range all[:min(len(all), mostWaiters)] {
		what := "a connection"
		if w.Writes {
			what = "its turn to write"
		}
		t.add(cell{text: strconv.Itoa(w.pid)}, cell{text: short(seconds(w.WaitedSeconds))}, cell{text: what}, cell{text: w.Name}, cell{text: w.At})
	}
	text := "\n" + t.String()
	if more := len(all) - mostWaiters; more > 0 {
		text += fmt.Sprintf("  and %d more\n", more)
	}
	return text
}

// block is what keeps a holder from giving back.
func block(h app.HolderStatus) string {
	switch {
	case h.InAtomicBlock:
		return "yes"
	case h.Open:
		return "rows"
	}
	return ""
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// short is a duration with as many digits as people read.
func short(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < day:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

// size is a number of bytes with its unit.
func size(n int64) string {
	const step = 1000
	value, unit := float64(n), 0
	for value >= step && unit < 4 {
		value /= step
		unit++
	}
	name := []string{"bytes", "kB", "MB", "GB", "TB"}[unit]
	if unit == 0 {
		return fmt.Sprintf("%d %s", n, name)
	}
	return fmt.Sprintf("%.1f %s", value, name)
}

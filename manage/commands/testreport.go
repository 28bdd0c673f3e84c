package commands

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// notInstalled is in the reason of a test that is skipped without a program, after
// the name of that.
const notInstalled = " is not installed"

// report turns what "go test -json" tells into a line for each package, the output
// of what failed, and three numbers.
type report struct {
	w       io.Writer
	style   style
	verbose bool

	passed, failed, skipped int
	broken                  bool           // a package failed beside its tests
	missing                 []*missing     // programs
	reasons                 map[string]int // of other skipped tests
	slowest                 int            // how many of the slowest tests are shown
	timed                   []timedTest
	packages                map[string]*testedPackage
	builds                  map[string]*strings.Builder // what the compiler says
}

// missing is a program that tests wanted.
type missing struct {
	program string // "PostgreSQL"
	tests   int
	howTo   string // get it, as the first of them has said
}

type testedPackage struct {
	passed, failed, skipped int
	cached                  bool
	tests                   map[string]*oneTest
	output                  strings.Builder // that belongs to no test
}

type oneTest struct {
	ran      bool
	output   strings.Builder
	children bool // it is counted by its subtests
	judged   bool // its own last line was read
	failed   bool
	done     bool
}

// timedTest is a test that took its time.
type timedTest struct {
	name string // with its package
	took time.Duration
}

// worthShowing is how long a test takes that is shown among the slowest.
const worthShowing = 100 * time.Millisecond

// event is one line; go doc cmd/test2json.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of a build
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

func newReport(w io.Writer, s style, verbose bool, slowest int) *report {
	return &report{
		w: w, style: s, verbose: verbose, slowest: slowest, reasons: make(map[string]int),
		packages: make(map[string]*testedPackage), builds: make(map[string]*strings.Builder),
	}
}

func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				r.sayf("%s", line) // of a program that go test has started, or of go itself
			} else {
				r.event(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) event(e event) {
	if e.ImportPath != "" {
		r.buildEvent(e)
		return
	}
	p := r.packages[e.Package]
	if p == nil {
		p = &testedPackage{tests: make(map[string]*oneTest)}
		r.packages[e.Package] = p
	}
	if e.Test == "" {
		r.packageEvent(p, e)
	} else {
		r.testEvent(p, e)
	}
}

func (r *report) buildEvent(e event) {
	b := r.builds[e.ImportPath]
	if b == nil {
		b = new(strings.Builder)
		r.builds[e.ImportPath] = b
	}
	b.WriteString(e.Output)
}

func (r *report) testEvent(p *testedPackage, e event) {
	test := p.test(e.Test)
	test.ran = true
	switch e.Action {
	case "run": // with -count once more
		test.judged, test.done = false, false
		test.output.Reset()
	case "output":
		switch {
		case isChatter(e.Output):
		case test.judged:
			// What ends a whole process, a panic or a timeout, is said to be of the
			// test that spoke last.
			p.output.WriteString(e.Output)
		default:
			test.output.WriteString(e.Output)
			test.judged = isJudgement(e.Output, e.Test)
		}
	case "pass":
		test.done = true
		if !test.children {
			p.passed++
		}
	case "skip":
		test.done = true
		if !test.children {
			p.skipped++
			r.skip(test.output.String())
		}
	case "fail":
		r.fail(p, e.Test, test)
	}
	if took := time.Duration(e.Elapsed * float64(time.Second)); test.done && !test.children && took >= worthShowing {
		r.timed = append(r.timed, timedTest{e.Package + "." + e.Test, took})
	}
	if r.verbose && test.done && !test.failed {
		r.sayf("%s", test.output.String())
	}
}

// test finds a test, and makes it known to the one that it is a part of.
func (p *testedPackage) test(name string) *oneTest {
	test := p.tests[name]
	if test != nil {
		return test
	}
	test = new(oneTest)
	p.tests[name] = test
	if i := strings.LastIndexByte(name, '/'); i > 0 {
		p.test(name[:i]).children = true
	}
	return test
}

// fail counts and shows a failed test. One whose subtests have failed is not counted
// beside them.
func (r *report) fail(p *testedPackage, name string, test *oneTest) {
	test.done, test.failed = true, true
	counted := !slices.ContainsFunc(p.failures(), func(other string) bool { return strings.HasPrefix(other, name+"/") })
	if counted {
		p.failed++
	}
	r.sayf("%s", test.output.String())
}

func (p *testedPackage) failures() []string {
	var names []string
	for name, test := range p.tests {
		if test.failed {
			names = append(names, name)
		}
	}
	return names
}

// skip counts a skipped test by its reason.
func (r *report) skip(output string) {
	before, reason, found := strings.Cut(output, notInstalled)
	if !found {
		r.reasons[reasonOf(output)]++
		return
	}
	program := before[strings.LastIndexAny(before, " \t\n")+1:]
	i := slices.IndexFunc(r.missing, func(m *missing) bool { return m.program == program })
	if i < 0 {
		reason, _, _ = strings.Cut(reason, "\n")
		i, r.missing = len(r.missing), append(r.missing, &missing{program: program, howTo: strings.TrimSpace(strings.TrimLeft(reason, ":; "))})
	}
	r.missing[i].tests++
}

// reasonOf is what a test said last before it was skipped, without its place.
func reasonOf(output string) string {
	reason := ""
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--- SKIP: ") {
			reason = line
		}
	}
	if place, text, ok := strings.Cut(reason, ": "); ok && strings.Contains(place, ".go:") {
		reason = text
	}
	return cmp.Or(reason, "no reason given")
}

func (r *report) packageEvent(p *testedPackage, e event) {
	switch e.Action {
	case "output":
		p.cached = p.cached || strings.HasSuffix(e.Output, "(cached)\n")
		if !isVerdict(e.Output) {
			p.output.WriteString(e.Output)
		}
	case "pass":
		r.endPackage(p, e, r.style.paint(green, "ok  "))
	case "fail":
		if b := r.builds[e.FailedBuild]; b != nil {
			r.sayf("%s", b.String())
		}
		r.cutShort(p)
		r.broken = r.broken || p.failed == 0
		r.sayf("%s", p.output.String())
		r.endPackage(p, e, r.style.paint(red, "FAIL"))
	}
}

// cutShort shows the tests that have not come to their end: of a panic, of a
// timeout.
func (r *report) cutShort(p *testedPackage) {
	for name, test := range p.tests {
		if test.done || !test.ran { // a slash in a name makes no test of what stands before it
			continue
		}
		test.failed = true
		if !test.children {
			p.failed++
		}
		r.sayf("%s has not come to its end\n%s", name, test.output.String())
	}
}

func (r *report) endPackage(p *testedPackage, e event, mark string) {
	r.passed, r.failed, r.skipped = r.passed+p.passed, r.failed+p.failed, r.skipped+p.skipped
	took := (time.Duration(e.Elapsed*1000) * time.Millisecond).String()
	switch {
	case e.FailedBuild != "":
		took = "does not build"
	case p.cached:
		took = "cached"
	}
	r.sayf("%s %s (%s): %s\n", mark, e.Package, took, numbers(p.passed, p.failed, p.skipped))
	delete(r.packages, e.Package)
}

// close writes the last lines.
func (r *report) close() {
	slices.SortStableFunc(r.timed, func(a, b timedTest) int { return cmp.Compare(b.took, a.took) })
	for i, test := range r.timed[:min(len(r.timed), r.slowest)] {
		if i == 0 {
			r.sayf("%s\n", r.style.paint(bold, "Slowest tests:"))
		}
		r.sayf("  %7.2fs %s\n", test.took.Seconds(), test.name)
	}
	for _, reason := range slices.Sorted(maps.Keys(r.reasons)) {
		r.sayf("%s %d: %s\n", r.style.paint(yellow, "skipped"), r.reasons[reason], reason)
	}
	for _, m := range r.missing {
		tests := "tests were"
		if m.tests == 1 {
			tests = "test was"
		}
		required := ""
		for _, name := range requirable() {
			if strings.HasPrefix(strings.ToLower(m.program), name) {
				required = "; --require=" + name + " makes this a failure"
			}
		}
		r.sayf("%s%s: %d %s skipped; %s%s\n", m.program, notInstalled, m.tests, tests, m.howTo, required)
	}
	r.sayf("%s\n", numbers(r.passed, r.failed, r.skipped))
}

func numbers(passed, failed, skipped int) string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", passed, failed, skipped)
}

// isChatter is what a verbose test says about nothing but its progress.
func isChatter(line string) bool {
	for _, prefix := range []string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME", "=== ATTR"} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

// isJudgement is the last line of a test.
func isJudgement(line, test string) bool {
	line = strings.TrimLeft(line, " ")
	for _, mark := range []string{"--- PASS: ", "--- FAIL: ", "--- SKIP: "} {
		if strings.HasPrefix(line, mark+test+" (") {
			return true
		}
	}
	return false
}

// isVerdict is how a package ends, which the report says in its own words.
func isVerdict(line string) bool {
	for _, prefix := range []string{"PASS\n", "FAIL\n", "FAIL\t", "ok  \t", "exit status "} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

// sayf writes to the user's terminal: when that is gone there is nobody to tell.
func (r *report) sayf(format string, args ...any) {
	_, _ = fmt.Fprintf(r.w, format, args...)
}

package reload

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Stage is how far a build has come that is not served.
type Stage int

const (
	Building Stage = iota // it does not compile
	Starting              // it has ended before it listened
	Serving               // it has ended while it was served
)

// Failure is why the files as they are now are not what is served.
type Failure struct {
	Stage  Stage
	Output string // of the compiler, or the last that the process has written; without colours
	Status string // how the process has ended, as in "exit status 1"

	places []place
}

// String is one line about it.
func (f *Failure) String() string {
	switch f.Stage {
	case Building:
		return "the program does not compile"
	case Starting:
		return "the new build does not start: " + f.Status
	}
	return "the site has ended: " + f.Status
}

// place is a line of source and what the compiler says about it.
type place struct {
	File         string
	Line, Column int
	Message      string
	Source       []sourceLine
}

type sourceLine struct {
	Number int
	Text   string
	Wrong  bool
}

const (
	aroundLine = 3  // lines of source before and after
	mostPlaces = 10 // what the compiler stops at, too
)

func colours() *regexp.Regexp { return regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]") }

func positions() *regexp.Regexp {
	return regexp.MustCompile(`^([^\s:][^:]*\.(?:go|mod|work|s)):(\d+)(?::(\d+))?: (.*)$`)
}

// doesNotCompile reads what "go build" said in a folder. The source is read now:
// the page is to show what was compiled.
func doesNotCompile(output, dir string) *Failure {
	f := &Failure{Stage: Building, Output: strings.TrimSpace(output)}
	position := positions()
	var last *place
	for line := range strings.Lines(f.Output) {
		line = strings.TrimRight(line, "\r\n")
		if m := position.FindStringSubmatch(line); m != nil {
			if last = nil; len(f.places) == mostPlaces {
				continue
			}
			number, _ := strconv.Atoi(m[2]) // digits
			column, _ := strconv.Atoi(cmp.Or(m[3], "0"))
			f.places = append(f.places, place{File: filepath.Clean(m[1]), Line: number, Column: column, Message: m[4]})
			last = &f.places[len(f.places)-1]
			last.read(dir)
		} else if last != nil && strings.HasPrefix(line, "\t") {
			last.Message += "\n" + line
		}
	}
	return f
}

// read reads the lines around. A file that has vanished has none.
func (p *place) read(dir string) {
	path := p.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	lines := strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	for n := max(1, p.Line-aroundLine); n <= min(len(lines), p.Line+aroundLine); n++ {
		p.Source = append(p.Source, sourceLine{Number: n, Text: lines[n-1], Wrong: n == p.Line})
	}
}

// hasEnded is the failure of a process.
func hasEnded(p *process, stage Stage) *Failure {
	f := &Failure{Stage: stage, Output: strings.TrimSpace(colours().ReplaceAllString(p.words.String(), "")), Status: "exit status 0"}
	if p.err != nil {
		f.Status = p.err.Error()
	}
	return f
}

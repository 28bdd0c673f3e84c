package debug

import (
	"fmt"
	"slices"
	"strings"
)

// code is the code of the site that has to do with it: of a panic the calls that led
// there, of a database's error those that led to the statement, and the view.
func (m *maker) code() {
	m.templateLines()
	shown := make(map[string]bool)
	for _, f := range parseStack(m.in.Stack) {
		k := m.owners.of(&f)
		m.facts.Stack = append(m.facts.Stack, call{
			Name: m.show(f.name(), mostValue), At: m.show(f.at(), mostValue), File: m.show(f.file, mostValue),
			Own: k == own, Kind: string(k),
		})
		if k == own {
			m.excerpt(&f, "", shown)
		}
	}
	if m.in.Stack != nil {
		m.first("it panicked here")
	} else if m.in.Scope != nil && m.in.Scope.Failed != nil {
		for _, f := range framesOf(m.in.Scope.Failed.Frames()) {
			if m.owners.of(&f) == own {
				m.excerpt(&f, "", shown)
			}
		}
		m.first("the statement that failed last was sent here")
	}
	if m.in.View.File != "" && m.in.Stack == nil && !m.shows(m.in.View.Name) {
		what := "the view that returned the error"
		if m.in.Err == nil || m.facts.Status < 500 {
			what = "the view that answered"
		}
		f := frame{m.in.View.Name, m.in.View.File, m.in.View.Line}
		m.add(excerpt{
			What: what, Name: m.show(f.function, mostValue), At: m.show(f.at(), mostValue), File: m.show(f.file, mostValue),
			Lines: m.clean(functionLines(f.file, f.line)),
		})
	}
}

// shows reports whether there is an excerpt of a function.
func (m *maker) shows(function string) bool {
	return slices.ContainsFunc(m.facts.Excerpts, func(e excerpt) bool { return e.Name == function })
}

// first says why the first excerpt of Go code is there.
func (m *maker) first(what string) {
	for i := range m.facts.Excerpts {
		if e := &m.facts.Excerpts[i]; e.What == "" {
			e.What = what
			return
		}
	}
}

func (m *maker) excerpt(f *frame, what string, shown map[string]bool) {
	key := fmt.Sprint(f.file, f.line)
	if shown[key] {
		return
	}
	shown[key] = true
	if len(m.facts.Excerpts) == mostExcerpts {
		m.facts.MoreExcerpts++
		return
	}
	m.add(excerpt{
		What: what, Name: m.show(f.name(), mostValue), At: m.show(f.at(), mostValue), File: m.show(f.file, mostValue),
		Lines: m.clean(sourceLines(f.file, f.line-around, f.line, f.line+around)),
	})
}

func (m *maker) add(e excerpt) { m.facts.Excerpts = append(m.facts.Excerpts, e) }

// clean moves the lines to the left, and shows nothing secret in them.
func (m *maker) clean(lines []codeLine) []codeLine {
	indent := -1
	for _, l := range lines {
		if text := strings.TrimLeft(l.Text, " "); text != "" && (indent < 0 || len(l.Text)-len(text) < indent) {
			indent = len(l.Text) - len(text)
		}
	}
	for i := range lines {
		lines[i].Text = m.show(lines[i].Text[min(max(0, indent), len(lines[i].Text)):], mostLine)
	}
	return lines
}

// templateLines are those of the template that could not be parsed or executed.
func (m *maker) templateLines() {
	if m.in.Err == nil || m.in.Template == nil {
		return
	}
	name, line := templatePlace(textOf(m.in.Err))
	if name == "" {
		return
	}
	text, err := m.in.Template(name)
	if err != nil {
		return // it was never a template of the site
	}
	m.add(excerpt{
		What: "the template that failed", Name: m.show(name, mostValue), At: m.show(fmt.Sprintf("%s:%d", name, line), mostValue),
		Lines: m.clean(pick(strings.NewReader(text), line-around, line, line+around)),
	})
}

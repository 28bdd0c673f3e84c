package debug

import (
	"io"
	"strings"
)

// writeText writes the same facts for those who do not read HTML.
func writeText(w io.Writer, f *facts) {
	l := lines{w}
	l.add("%s", f.Title)
	if f.Method != "" {
		l.add("%s %s", f.Method, f.Path)
	}
	l.add("\n%s", f.Text)
	if f.Panicked && f.Type != "" {
		l.add("\nA panic with a value of type %s.", f.Type)
	} else if f.Type != "" {
		l.add("\nThe type of the error is %s.", f.Type)
	}
	if f.Hint != "" {
		l.add("\nWhat to do now: %s", f.Hint)
	}
	textOfChain(l, f)
	textOfRoutes(l, f)
	for i, e := range f.Excerpts {
		if i == 0 {
			l.add("\nYour code")
		}
		l.add("\n  %s  %s%s", e.At, e.Name, inBrackets(e.What))
		for _, line := range e.Lines {
			mark := "   "
			if line.Here {
				mark = "-->"
			}
			l.add("  %s %5d  %s", mark, line.Number, line.Text)
		}
	}
	if f.MoreExcerpts > 0 {
		l.add("\n  and %d more of your calls", f.MoreExcerpts)
	}
	for i, c := range f.Stack {
		if i == 0 {
			l.add("\nThe stack, the innermost call first\n")
		}
		whose := c.Kind
		if c.Own {
			whose = "yours"
		}
		l.add("  %-10s %s  %s", whose, c.Name, c.At)
	}
	textOfConnections(l, f)
	textOfRequest(l, f)
	textOfSettings(l, f)
	if len(f.cannot) > 0 {
		l.add("\nWhat could not be shown: %s.", f.Cannot())
	}
	l.add("\nThis page says so much because DEBUG is true.")
	if f.Answer != "" {
		l.add("Otherwise clients read: %s", f.Answer)
	}
}

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

func textOfChain(l lines, f *facts) {
	if len(f.Chain) < 2 {
		return
	}
	l.add("\nWhat it is made of\n")
	for _, link := range f.Chain {
		text := link.Text
		if link.Type != "" {
			text = link.Type + ": " + text
		}
		l.add("  %s%s", strings.Repeat("  ", link.Depth), text)
	}
	if f.MoreLinks {
		l.add("  and more")
	}
}

func textOfRoutes(l lines, f *facts) {
	if !f.RoutesAsked {
		return
	}
	if f.Nearest != "" {
		l.add("\nDid you mean %s?", f.Nearest)
	}
	l.add("\nThis site has the routes\n")
	for _, r := range f.Routes {
		l.add("    %-7s %-30s %s  %s", r.Method, r.Pattern, r.View, r.At)
	}
	if f.MoreRoutes > 0 {
		l.add("    and %d more", f.MoreRoutes)
	}
}

func textOfConnections(l lines, f *facts) {
	for i, h := range f.Holders {
		if i == 0 {
			l.add("\nWho holds the connections\n")
		}
		l.add("  %s: for %s, %s of it idle, taken at %s, last %s", h.Name, h.Held, h.Idle, h.At, h.Statement)
	}
	if f.MoreHolders > 0 {
		l.add("  and %d more", f.MoreHolders)
	}
	s := f.Scope
	if s == nil {
		return
	}
	l.add("\nConnections\n\n  %s", s.Summary)
	for _, h := range s.Holds {
		waited := ""
		if h.Waited != "" {
			waited = ", waited " + h.Waited
		}
		l.add("  %s asked for %s at %s%s: %s%s", h.Asked, h.Alias, h.At, waited, heldText(&h), h.End)
	}
	if s.MoreHolds > 0 {
		l.add("  and %d more", s.MoreHolds)
	}
	for i, st := range s.Statements {
		if i == 0 {
			l.add("\nStatements, without their values\n")
		}
		l.add("  %4d %10s %10s  %s  %s%s", st.Number, st.Sent, st.Took, st.Text, st.At, inBrackets(st.Err))
	}
	if s.MoreStatements > 0 {
		l.add("  and %d more", s.MoreStatements)
	}
}

func heldText(h *holdFacts) string {
	if h.Held == "" {
		return ""
	}
	text := "had " + h.Connection + " for " + h.Held + ", " + h.Idle + " of it idle; "
	if h.BackAt != "" {
		text += "by " + h.BackAt + "; "
	}
	return text
}

func textOfRequest(l lines, f *facts) {
	if len(f.Request) == 0 {
		return
	}
	l.add("\nRequest\n")
	for _, p := range f.Request {
		l.add("  %s: %s", p.Name, p.Value)
	}
	for _, group := range f.Groups {
		for i, p := range group.All {
			if i == 0 {
				l.add("\n%s\n", group.Title)
			}
			l.add("  %s: %s", p.Name, p.Value)
		}
		if group.More > 0 {
			l.add("  and %d more", group.More)
		}
	}
}

func textOfSettings(l lines, f *facts) {
	if len(f.Settings)+len(f.Defaults) == 0 {
		return
	}
	l.add("\nSettings\n")
	for _, s := range f.Settings {
		l.add("  %s: %s  (%s)", s.Key, s.Value, s.Origin)
	}
	for _, s := range f.Defaults {
		l.add("  %s: %s", s.Key, s.Value)
	}
	if f.MoreSettings > 0 {
		l.add("  and %d more", f.MoreSettings)
	}
}

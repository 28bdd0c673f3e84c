package debug

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// connections is the story of the request's connections, and who has them now.
func (m *maker) connections() {
	for i, h := range m.in.Holders {
		if i == mostHolders {
			m.facts.MoreHolders = len(m.in.Holders) - i
			break
		}
		m.facts.Holders = append(m.facts.Holders, holderFacts{
			m.show(cmp.Or(h.Name, "somebody"), mostValue), h.At, spell(h.Held), spell(h.Idle), m.show(h.LastStatement, mostStatement),
		})
	}
	s := m.in.Scope
	if s == nil {
		return
	}
	f := &scopeFacts{MoreHolds: s.MoreHolds, MoreStatements: s.MoreStatements}
	m.facts.Scope = f
	var inside time.Duration
	failed := 0
	for i, st := range s.Statements {
		inside += st.Took
		if st.Err != "" {
			failed++
		}
		if i >= mostStatements {
			f.MoreStatements++
			continue
		}
		one := statementFacts{
			Number: i + 1, Sent: after(st.Sent), Took: "not answered", Rows: strconv.FormatInt(st.Rows, 10),
			Text: m.show(st.Text, mostStatement), At: m.show(st.At, mostValue), Err: m.show(st.Err, mostValue), Control: st.Control,
		}
		if st.Took > 0 {
			one.Took = spell(st.Took)
		}
		if st.Hold >= 0 && st.Hold < len(s.Holds) {
			one.Alias = s.Holds[st.Hold].Alias
		}
		f.Statements = append(f.Statements, one)
	}
	var held time.Duration
	open := 0
	for i, h := range s.Holds {
		if h.Got > 0 && h.Back > 0 {
			held += h.Back - h.Got
		} else if h.Got > 0 {
			open++
		}
		if i >= mostHolds {
			f.MoreHolds++
			continue
		}
		f.Holds = append(f.Holds, m.hold(&h))
	}
	f.Summary = summary(int64(len(s.Statements))+s.MoreStatements, failed, inside, int64(len(s.Holds))+s.MoreHolds, held, open)
}

func summary(statements int64, failed int, inside time.Duration, holds int64, held time.Duration, open int) string {
	if holds == 0 {
		return "The request asked for no connection."
	}
	text := fmt.Sprintf("%s in %s", count(statements, "statement"), spell(inside))
	if failed > 0 {
		text += fmt.Sprintf(", %d of them failed", failed)
	}
	times := "once"
	if holds > 1 {
		times = fmt.Sprintf("%d times", holds)
	}
	text += "; a connection was asked for " + times + ", and held for " + spell(held) + " in all"
	if open > 0 {
		return fmt.Sprintf("%s; %d of them still held when this page was made.", text, open)
	}
	return text + "; nothing was held when this page was made."
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (m *maker) hold(h *Hold) holdFacts {
	f := holdFacts{
		Alias: m.show(h.Alias, mostValue), Asked: after(h.Asked), At: m.show(h.At, mostValue), BackAt: m.show(h.BackAt, mostValue),
	}
	switch {
	case h.Err != "":
		f.Bad, f.End = true, "got none: "+m.show(h.Err, mostValue)
		f.Waited = spell(max(0, h.Back-h.Asked))
		return f
	case h.Got == 0:
		f.Bad, f.End = true, "still waits"
		return f
	}
	f.Connection, f.Waited = "#"+strconv.FormatInt(h.Connection, 10), spell(h.Got-h.Asked)
	if h.Back == 0 {
		f.Bad, f.End = true, "still held"
		return f
	}
	f.Held, f.Idle = spell(h.Back-h.Got), spell(h.Idle)
	f.End = "given back at " + after(h.Back) + ": " + m.show(h.Reason, mostValue)
	return f
}

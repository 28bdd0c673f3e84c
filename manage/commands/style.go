package commands

import (
	"io"
	"os"

	"golang.org/x/term"
)

// A style paints text for one stream, or leaves it alone.
type style struct{ on bool }

const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (s style) paint(colour, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// styleOf decides about colours as Django does, and as https://no-color.org asks.
func (e Env) styleOf(w io.Writer, o globals) style {
	switch {
	case o.noColor:
		return style{}
	case o.forceColor:
		return style{on: true}
	}
	return style{on: e.isTerminal(w) && e.Getenv("NO_COLOR") == "" && e.Getenv("TERM") != "dumb"}
}

// isTerminal reports whether people read what is written to w: themselves, or passed
// on by the process that has started this one.
func (e Env) isTerminal(w io.Writer) bool {
	if e.child != nil && w == e.Stderr {
		return e.child.Terminal()
	}
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

package commands

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// screen is where something is shown again and again: on a terminal in the same place,
// elsewhere one below the other.
type screen struct {
	height func() int // nil is no terminal
	shown  bool
}

func (c *cli) screen() *screen {
	file, ok := c.env.Stdout.(*os.File)
	if !ok || !c.env.isTerminal(file) || c.env.Getenv("TERM") == "dumb" {
		return &screen{}
	}
	return &screen{height: func() int {
		_, height, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return 0 // unknown
		}
		return height
	}}
}

const (
	home       = "\x1b[H"
	clearAll   = "\x1b[2J"
	clearRight = "\x1b[K"
	clearBelow = "\x1b[J"
	noWrap     = "\x1b[?7l" // what does not fit into a line is cut by the terminal
	wrap       = "\x1b[?7h"
)

func (s *screen) show(w io.Writer, lines []string) error {
	text := strings.Join(lines, "\n") + "\n"
	if s.height != nil {
		text = s.redraw(lines)
	} else if s.shown {
		text = "\n" + text
	}
	s.shown = true
	_, err := io.WriteString(w, text)
	return err
}

// redraw writes over what is there, so that nothing flickers.
func (s *screen) redraw(lines []string) string {
	if height := s.height(); height > 2 && len(lines) >= height {
		lines = append(lines[:height-2:height-2], fmt.Sprintf("... and %d lines more", len(lines)-height+2))
	}
	text := noWrap + home + strings.Join(lines, clearRight+"\n") + clearRight + "\n" + clearBelow + wrap
	if !s.shown {
		text = clearAll + text
	}
	return text
}

package commands

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cell is one cell of a table.
type cell struct {
	text   string
	colour string // "" is none
}

// textTable is a table for people: columns as wide as they have to be, numbers to the
// right. text/tabwriter counts colours as text.
type textTable struct {
	style  style
	indent string
	right  map[int]bool // columns that are aligned to the right
	rows   [][]cell
}

func (t *textTable) header(names ...string) {
	row := make([]cell, len(names))
	for i, name := range names {
		row[i] = cell{name, bold}
	}
	t.rows = append(t.rows, row)
}

// add adds a row. What others have written, such as the names of routes, cannot
// move the cursor.
func (t *textTable) add(cells ...cell) {
	for i := range cells {
		if cells[i].text = printable(cells[i].text); cells[i].text == "" {
			cells[i].text = "-"
		}
	}
	t.rows = append(t.rows, cells)
}

func (t *textTable) String() string {
	var widths []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		b.WriteString(t.indent)
		for i, c := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text))
			text := c.text
			if c.colour != "" {
				text = t.style.paint(c.colour, text)
			}
			switch {
			case t.right[i]:
				text = space + text
			case i < len(row)-1:
				text += space
			}
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(text)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// printable replaces what is not text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

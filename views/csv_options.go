package views

import (
	"strconv"
	"strings"
)

// CSVOptions are how [CSVWith] writes. The zero value is [CSV].
type CSVOptions struct {
	Comma    rune // between cells; zero is ','
	CRLF     bool // lines end in \r\n, as RFC 4180 has it, and not in \n
	NoHeader bool // of a struct
	BOM      bool // begin with a byte order mark, by which Excel knows UTF-8

	// FormulaSafe keeps a spreadsheet from running what a cell says. A cell that
	// begins with = + - @, one of their full-width forms, a tab or a newline gets an
	// apostrophe in front, as OWASP recommends; numbers such as -1.5 stay numbers.
	// It changes what other programs read: say it for files that people open, not
	// for those that programs exchange.
	FormulaSafe bool
}

const byteOrderMark = "\ufeff"

// harmless returns the cell as a spreadsheet may see it.
func harmless(cell string) string {
	if strings.IndexAny(cell, "=+-@\t\r\n＝＋－＠") == 0 && !isDecimal(cell) {
		return "'" + cell
	}
	return cell
}

// isDecimal reports whether the cell is a decimal number, which no program takes for
// anything else.
func isDecimal(cell string) bool {
	if strings.Trim(cell, "0123456789+-.eE") != "" {
		return false
	}
	_, err := strconv.ParseFloat(cell, 64)
	return err == nil
}

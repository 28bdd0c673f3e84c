package debug

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	around     = 5       // lines before and after the one that is meant
	below      = 12      // lines of a function, from its beginning
	mostSource = 4 << 20 // bytes of a file that are looked at
	mostLine   = 240     // bytes of a line
)

// codeLine is one line of a source.
type codeLine struct {
	Number int
	Text   string
	Here   bool // the one that is meant
}

// sourceLines reads some lines of a Go file. What cannot be read, as on a machine that
// has the binary only, is nothing.
func sourceLines(file string, from, here, to int) []codeLine {
	if !filepath.IsAbs(file) || filepath.Ext(file) != ".go" || here < 1 {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close() // it was only read
	return pick(io.LimitReader(f, mostSource), from, here, to)
}

// pick returns the lines of a text with these numbers.
func pick(text io.Reader, from, here, to int) (lines []codeLine) {
	reader := bufio.NewReader(text)
	for n := 1; n <= to; n++ {
		line, err := reader.ReadString('\n')
		if line == "" && err != nil {
			break
		}
		if n >= from {
			line = strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\t", "    ")
			lines = append(lines, codeLine{n, line, n == here})
		}
	}
	if len(lines) == 0 || lines[len(lines)-1].Number < here {
		return nil // the file is another one than the binary was made of
	}
	return lines
}

// functionLines are the first lines of a function, to the end of it if that is near.
func functionLines(file string, line int) []codeLine {
	lines := sourceLines(file, line, line, line+below)
	for i, l := range lines {
		if i > 0 && strings.HasPrefix(l.Text, "}") {
			return lines[:i+1]
		}
	}
	return lines
}

package pool

import "strings"

// WithoutValues returns a statement with "?" in the place of each literal, and without
// comments: bun writes values into the text, and they are nobody's business who looks
// at holders. What has no end, as in a statement that is cut, is taken for a value.
//
// It knows the literals of PostgreSQL and SQLite: strings, with E and their
// backslashes, dollar quotes, blobs and numbers. Names in double quotes and
// placeholders stay.
func WithoutValues(query string) string {
	s := valueScanner{text: query}
	s.out.Grow(len(query))
	for s.at < len(s.text) {
		s.next()
	}
	return s.out.String()
}

type valueScanner struct {
	text string
	at   int
	out  strings.Builder
}

// next takes one literal, comment, name, or other byte.
func (s *valueScanner) next() {
	rest := s.text[s.at:]
	switch c := rest[0]; {
	case c == '\'':
		s.value(quotedLength(rest, '\'', false))
	case c == '"' || c == '`':
		s.keep(quotedLength(rest, c, false))
	case strings.HasPrefix(rest, "--"):
		s.at += lengthUntil(rest, "\n") // the line's end stays
	case strings.HasPrefix(rest, "/*"):
		s.at += commentLength(rest)
		s.out.WriteByte(' ')
	case c == '$':
		s.dollar(rest)
	case c == '?' || c == ':' || c == '@': // a placeholder of SQLite may have a number or a name
		s.keep(1 + nameLength(rest[1:]))
	case isDigit(c), c == '.' && len(rest) > 1 && isDigit(rest[1]):
		s.value(numberLength(rest))
	case isNameByte(c):
		s.name(rest)
	default:
		s.keep(1)
	}
}

func (s *valueScanner) keep(n int) {
	s.out.WriteString(s.text[s.at : s.at+n])
	s.at += n
}

func (s *valueScanner) value(n int) {
	s.out.WriteByte('?')
	s.at += n
}

// name keeps a word, unless it is the prefix of a string: E'\n', B'01', X'ff', N'é', U&'\0441'.
func (s *valueScanner) name(rest string) {
	n := nameLength(rest)
	switch word, after := strings.ToUpper(rest[:n]), rest[n:]; {
	case isStringPrefix(word) && strings.HasPrefix(after, "'"):
		s.value(n + quotedLength(after, '\'', word == "E"))
	case word == "U" && strings.HasPrefix(after, "&'"):
		s.value(n + 1 + quotedLength(after[1:], '\'', false))
	default:
		s.keep(n)
	}
}

func isStringPrefix(word string) bool {
	return len(word) == 1 && strings.IndexByte("EBXN", word[0]) >= 0
}

// dollar takes $1, which is a placeholder, $tag$text$tag$, which is a string, or a
// dollar sign.
func (s *valueScanner) dollar(rest string) {
	n := 1
	for n < len(rest) && isNameByte(rest[n]) && rest[n] != '$' {
		n++
	}
	switch {
	case n < len(rest) && rest[n] == '$' && (n == 1 || !isDigit(rest[1])):
		tag := rest[:n+1]
		s.value(len(tag) + lengthThrough(rest[len(tag):], tag))
	default:
		s.keep(n)
	}
}

// quotedLength is the length of what stands in quotes at the beginning of text, where
// a doubled quote is one of the text.
func quotedLength(text string, quote byte, backslashes bool) int {
	for i := 1; i < len(text); i++ {
		switch {
		case backslashes && text[i] == '\\':
			i++
		case text[i] == quote && i+1 < len(text) && text[i+1] == quote:
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	return len(text)
}

// commentLength is the length of a comment, in which PostgreSQL allows others.
func commentLength(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(text[i:], "*/"):
			depth--
			i++
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(text)
}

// numberLength is the length of 12, 1_000, 0x1F, 1.5, .5, 1e-3.
func numberLength(text string) int {
	hex := strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X")
	n := 0
	for n < len(text) {
		c := text[n]
		sign := (c == '+' || c == '-') && n > 0 && (text[n-1] == 'e' || text[n-1] == 'E') && !hex
		if !sign && c != '.' && !isNameByte(c) {
			break
		}
		n++
	}
	return n
}

func nameLength(text string) int {
	n := 0
	for n < len(text) && isNameByte(text[n]) {
		n++
	}
	return n
}

func lengthUntil(text, end string) int {
	if i := strings.Index(text, end); i >= 0 {
		return i
	}
	return len(text)
}

func lengthThrough(text, end string) int {
	return min(len(text), lengthUntil(text, end)+len(end))
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isNameByte is a byte of a name after its first. Every byte beyond ASCII is one.
func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c) || c == '_' || c == '$' || c >= 0x80
}

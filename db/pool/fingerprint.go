package pool

import "strings"

// Fingerprint is a statement without its values, shortened: what may be shown to
// others than its author. bun writes arguments into the text, so numbers and strings
// become "?", a list of them one, and what has no end hides the rest.
func Fingerprint(query string) string {
	if query == rawQuery {
		return query // none
	}
	const limit = 400 // more than is shown
	return Shorten(Normalize(query, limit))
}

// Normalize is a statement without its values, as [Fingerprint] has it, but not
// shortened: it ends soon after so many bytes.
func Normalize(query string, limit int) string {
	var b strings.Builder
	for at := 0; at < len(query) && b.Len() < limit; {
		from := at
		switch c := query[at]; {
		case c == '\'':
			at = afterQuote(query, at, escapes(query, at))
			value(&b)
		case c == '"', c == '`':
			at = afterQuote(query, at, false)
			b.WriteString(query[from:at])
		case c == '$':
			if end := afterDollar(query, at); end > at {
				at = end
				value(&b)
				continue
			}
			at = afterWord(query, at+1)
			b.WriteString(query[from:at])
		case strings.HasPrefix(query[at:], "--"):
			at = afterText(query, at, "\n")
			b.WriteByte(' ')
		case strings.HasPrefix(query[at:], "/*"):
			at = afterComment(query, at)
			b.WriteByte(' ')
		case '0' <= c && c <= '9', c == '.' && at+1 < len(query) && '0' <= query[at+1] && query[at+1] <= '9':
			at = afterNumber(query, at)
			value(&b)
		case isWord(c):
			at = afterWord(query, at)
			if at < len(query) && query[at] == '\'' && at-from == 1 {
				continue // E'...', x'...': the letter belongs to the string
			}
			b.WriteString(query[from:at])
		default:
			at++
			b.WriteByte(c)
		}
	}
	return b.String()
}

// value writes a "?", unless it follows another one, as strings do that are one, or
// is the next of a list.
func value(b *strings.Builder) {
	text := strings.TrimRight(b.String(), " \t\n")
	if strings.HasSuffix(text, "?") || strings.HasSuffix(text, "?...") {
		return
	}
	before, listed := strings.CutSuffix(text, ",")
	before = strings.TrimRight(before, " \t\n")
	switch {
	case listed && strings.HasSuffix(before, "?..."):
		b.Reset()
		b.WriteString(before)
	case listed && strings.HasSuffix(before, "?"):
		b.Reset()
		b.WriteString(before + "...")
	default:
		b.WriteByte('?')
	}
}

// escapes reports whether the string that begins at a quote has backslashes.
func escapes(query string, at int) bool {
	return at > 0 && query[at-1]|0x20 == 'e' && (at == 1 || !isWord(query[at-2]))
}

func afterQuote(query string, at int, backslashes bool) int {
	quote := query[at]
	for at++; at < len(query); at++ {
		switch {
		case backslashes && query[at] == '\\':
			at++
		case query[at] == quote && at+1 < len(query) && query[at+1] == quote:
			at++
		case query[at] == quote:
			return at + 1
		}
	}
	return len(query)
}

// afterDollar is the end of $tag$...$tag$, and at where there is none.
func afterDollar(query string, at int) int {
	end := at + 1
	for end < len(query) && query[end] != '$' && isWord(query[end]) {
		end++
	}
	if end >= len(query) || query[end] != '$' || end > at+1 && '0' <= query[at+1] && query[at+1] <= '9' {
		return at
	}
	return afterText(query, end+1, query[at:end+1])
}

func afterText(query string, at int, text string) int {
	if i := strings.Index(query[min(at, len(query)):], text); i >= 0 {
		return at + i + len(text)
	}
	return len(query)
}

// afterComment is the end of a comment, in which PostgreSQL allows others.
func afterComment(query string, at int) int {
	for depth := 0; at < len(query); {
		switch {
		case strings.HasPrefix(query[at:], "/*"):
			depth++
			at += 2
		case strings.HasPrefix(query[at:], "*/"):
			depth--
			at += 2
		default:
			at++
		}
		if depth == 0 {
			return at
		}
	}
	return len(query)
}

func afterNumber(query string, at int) int {
	for at < len(query) && (isWord(query[at]) || query[at] == '.' ||
		(query[at] == '+' || query[at] == '-') && query[at-1]|0x20 == 'e') {
		at++
	}
	return at
}

func afterWord(query string, at int) int {
	for at < len(query) && isWord(query[at]) {
		at++
	}
	return at
}

func isWord(c byte) bool {
	return c >= 0x80 || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// Values are the strings that are written into a statement: what an error of the
// database may quote.
func Values(query string) (values []string) {
	for at := 0; at < len(query); {
		from := at
		switch c := query[at]; {
		case c == '\'':
			at = afterQuote(query, at, escapes(query, at))
			if inside := strings.TrimSuffix(query[from+1:at], "'"); inside != "" {
				values = append(values, strings.ReplaceAll(inside, "''", "'"))
			}
		case c == '"', c == '`':
			at = afterQuote(query, at, false)
		case c == '$':
			if at = afterDollar(query, from); at == from {
				at = afterWord(query, at+1)
				continue
			}
			tag := query[from : from+2+strings.IndexByte(query[from+1:], '$')]
			if inside := strings.TrimSuffix(query[from+len(tag):at], tag); inside != "" {
				values = append(values, inside)
			}
		case strings.HasPrefix(query[at:], "--"):
			at = afterText(query, at, "\n")
		case strings.HasPrefix(query[at:], "/*"):
			at = afterComment(query, at)
		case isWord(c):
			at = afterWord(query, at)
		default:
			at++
		}
	}
	return values
}

package postgres

import "strings"

// dirties reads a query once, as PostgreSQL's scanner would, and reports whether it
// may leave something on the session. It looks at the first word of each statement
// and at the few words that reach the session from within one; a statement that
// is not known is dirty. It allocates nothing.
//
// What a function of the user's own does inside cannot be seen: that is what
// CONN_RESET: always is for.
func dirties(query string) bool {
	r := reader{text: query}
	s := start
	for {
		word, punct := r.next()
		if word == "" && punct == 0 {
			return r.broken || s == setting
		}
		if punct == ';' {
			if s == setting {
				return true
			}
			s = start
			continue
		}
		if s == harmless && !telling(word) {
			continue
		}
		var low [32]byte
		if s = s.after(string(lower(&low, word)), punct); s == dirty {
			return true
		}
	}
}

// state is how much of a statement has been read.
type state int

const (
	start     state = iota
	harmless        // unless a word below says otherwise
	creating        // as harmless, just after a word that TEMP may follow
	setting         // SET was read: what it sets may be local
	local           // SET LOCAL was, unless that is the first half of a name
	declaring       // a cursor, which outlives its transaction WITH HOLD
	dirty
)

func (s state) after(word string, punct byte) state {
	switch s {
	case start:
		if word == "" && punct == '(' {
			return harmless // (SELECT ...) UNION ...
		}
		return first(word)
	case setting:
		switch word {
		case "local", "transaction", "constraints":
			return local
		}
		return dirty
	case local:
		if punct == '.' {
			return dirty
		}
	case creating:
		if word == "temp" || word == "temporary" {
			return dirty
		}
	case declaring:
		if word == "hold" {
			return dirty
		}
	}
	if reachesSession(word) {
		return dirty
	}
	if s == declaring {
		return s
	}
	switch word {
	case "create", "replace", "global", "local", "into":
		return creating
	}
	return harmless
}

// first is the state after the first word of a statement.
func first(word string) state {
	switch word {
	case "select", "insert", "update", "delete", "merge", "with", "values", "table",
		"explain", "show", "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release",
		"fetch", "move", "close", "copy", "alter", "drop", "truncate", "comment", "grant", "revoke", "reassign",
		"analyze", "vacuum", "reindex", "cluster", "refresh", "lock", "notify", "checkpoint":
		return harmless
	case "create":
		return creating
	case "set":
		return setting
	case "declare":
		return declaring
	}
	return dirty // RESET, LISTEN, PREPARE, LOAD, DO, CALL, DISCARD, ...
}

// telling reports whether after may do more with a word of a harmless statement than
// leave it harmless, by what is quick to see: most words are names that say nothing.
func telling(word string) bool {
	if len(word) >= 2 && word[0] == '"' {
		word = word[1 : len(word)-1]
	}
	if len(word) < len("into") {
		return false
	}
	switch word[0] | 0x20 {
	case 's', 'p':
		return len(word) >= len("pg_temp")
	case 'c', 'r', 'g', 'l', 'i':
		return len(word) <= len("replace")
	}
	return false
}

// reachesSession reports whether a word anywhere in a statement names what leaves
// something behind: a setting, a lock that outlives the transaction, the schema of
// the temporary tables.
func reachesSession(word string) bool {
	if len(word) < len("pg_temp") {
		return false
	}
	switch word[0] {
	case 's':
		return word == "set_config" || word == "set_limit"
	case 'p':
		return strings.HasPrefix(word, "pg_temp") ||
			(strings.HasPrefix(word, "pg_advisory_lock") || strings.HasPrefix(word, "pg_try_advisory_lock"))
	}
	return false
}

// reader takes a text apart into words and punctuation marks. Comments, strings,
// numbers and parameters are left out; quoted names are words.
type reader struct {
	text   string
	at     int
	broken bool // something without an end, or with escapes that are not read here
}

// next returns a word or a punctuation mark, and neither at the end.
func (r *reader) next() (word string, punct byte) {
	for r.at < len(r.text) {
		b, from := r.text[r.at], r.at
		switch {
		case b == ' ' || b == '\t' || b == '\n' || b == '\r' || b == '\f' || b == '\v':
			r.at++
		case b == '-' && r.follows('-'):
			r.line()
		case b == '/' && r.follows('*'):
			r.comment()
		case b == '\'':
			r.quoted(b, false)
		case b == '"':
			r.quoted(b, false)
			return r.text[from:r.at], 0 // with its quotes: no keyword
		case b == '$':
			r.dollar()
		case '0' <= b && b <= '9':
			for r.at < len(r.text) && '0' <= r.text[r.at] && r.text[r.at] <= '9' {
				r.at++
			}
		case wordByte(b):
			for r.at < len(r.text) && wordByte(r.text[r.at]) {
				r.at++
			}
			word := r.text[from:r.at]
			if !r.prefix(word) {
				return word, 0
			}
		case b == 0: // which is how the end is told
			r.at, r.broken = len(r.text), true
		default:
			r.at++
			return "", b
		}
	}
	return "", 0
}

func (r *reader) follows(b byte) bool { return r.at+1 < len(r.text) && r.text[r.at+1] == b }

// prefix reports whether a word belongs to the string after it, and skips both:
// E'...' has backslashes, U&"..." may hide any name.
func (r *reader) prefix(word string) bool {
	if len(word) != 1 || r.at == len(r.text) {
		return false
	}
	switch word[0] | 0x20 {
	case 'e':
		if r.text[r.at] == '\'' {
			r.quoted('\'', true)
			r.broken = r.broken || r.continues()
			return true
		}
	case 'u':
		if r.text[r.at] == '&' && r.follows('"') {
			r.at, r.broken = len(r.text), true
			return true
		}
	}
	return false
}

func (r *reader) line() {
	for r.at < len(r.text) && r.text[r.at] != '\n' && r.text[r.at] != '\r' {
		r.at++
	}
}

// comment skips one with those inside it.
func (r *reader) comment() {
	depth := 0
	for r.at < len(r.text) {
		switch {
		case r.text[r.at] == '/' && r.follows('*'):
			depth++
			r.at += 2
		case r.text[r.at] == '*' && r.follows('/'):
			depth--
			r.at += 2
		default:
			r.at++
		}
		if depth == 0 {
			return
		}
	}
	r.broken = true
}

// quoted skips a text in quotes; a doubled quote is one inside it.
func (r *reader) quoted(quote byte, backslashes bool) {
	for r.at++; r.at < len(r.text); r.at++ {
		if !backslashes {
			i := strings.IndexByte(r.text[r.at:], quote)
			if i < 0 {
				break
			}
			r.at += i
		}
		switch r.text[r.at] {
		case '\\':
			r.at++
		case quote:
			if !r.follows(quote) {
				r.at++
				return
			}
			r.at++
		}
	}
	r.at, r.broken = len(r.text), true
}

// continues reports whether another string follows. After a line break it is the
// rest of the one before and has its backslashes, which nobody writes.
func (r *reader) continues() bool {
	for at := r.at; at < len(r.text); at++ {
		switch r.text[at] {
		case ' ', '\t', '\n', '\r', '\f', '\v':
		case '\'', '-': // a comment may be in between
			return true
		default:
			return false
		}
	}
	return false
}

// dollar skips $1, and $tag$ with the string that it begins.
func (r *reader) dollar() {
	end := r.at + 1
	if end < len(r.text) && '0' <= r.text[end] && r.text[end] <= '9' {
		r.at = end
		return
	}
	for end < len(r.text) && r.text[end] != '$' && wordByte(r.text[end]) {
		end++
	}
	if end == len(r.text) || r.text[end] != '$' {
		r.at++
		return
	}
	tag := r.text[r.at : end+1]
	i := strings.Index(r.text[end+1:], tag)
	if i < 0 {
		r.at, r.broken = len(r.text), true
		return
	}
	r.at = end + 1 + i + len(tag)
}

func wordByte(b byte) bool {
	return b >= 0x80 || b == '_' || b == '$' || '0' <= b && b <= '9' || 'a' <= b|0x20 && b|0x20 <= 'z'
}

// lower is a short word in lower case, without the quotes of a name; longer ones
// mean nothing here.
func lower(buf *[32]byte, word string) []byte {
	if len(word) >= 2 && word[0] == '"' {
		word = word[1 : len(word)-1]
	}
	if len(word) > len(buf) {
		return nil
	}
	for i := range len(word) {
		b := word[i]
		if 'A' <= b && b <= 'Z' {
			b |= 0x20
		}
		buf[i] = b
	}
	return buf[:len(word)]
}

package sqlite

import "strings"

// dirties reads a query once, as SQLite's tokenizer would, and reports whether it
// may change the session: PRAGMA with a value, ATTACH, DETACH, temporary objects,
// and every statement that is not known. It allocates nothing.
func dirties(query string) bool {
	r := reader{text: query}
	s := start
	for {
		word, punct := r.next()
		if word == "" && punct == 0 {
			return r.broken || s.endsDirty()
		}
		if s = s.after(word, punct); s == dirty {
			return true
		}
	}
}

// state is how much of a statement has been read.
type state int

const (
	start      state = iota
	explained        // EXPLAIN was read, which runs most pragmas all the same
	harmless         // nothing that follows matters
	creating         // TEMP would matter
	pragmaName       // PRAGMA was read
	pragmaRead       // one that tells something, or is kept in the file
	pragmaSet        // one that a value would change
	dirty
)

func (s state) endsDirty() bool { return s == pragmaName || s == dirty }

func (s state) after(word string, punct byte) state {
	if punct == ';' && s != dirty {
		if s.endsDirty() {
			return dirty
		}
		return start
	}
	var low [24]byte
	switch s {
	case start, explained:
		switch string(lower(&low, word)) {
		case "explain":
			return explained
		case "query", "plan":
			if s == explained {
				return explained
			}
		case "select", "insert", "update", "delete", "replace", "with", "values",
			"begin", "commit", "end", "rollback", "savepoint", "release",
			"drop", "alter", "analyze", "reindex", "vacuum":
			return harmless
		case "create":
			return creating
		case "pragma":
			return pragmaName
		}
		return dirty
	case creating:
		switch string(lower(&low, word)) {
		case "temp", "temporary":
			return dirty
		}
	case pragmaName:
		switch string(lower(&low, word)) {
		case "main":
			return pragmaName
		case "":
			if punct == '.' {
				return pragmaName
			}
			return dirty
		case "application_id", "collation_list", "compile_options", "data_version", "database_list", "encoding",
			"foreign_key_check", "foreign_key_list", "freelist_count", "function_list", "incremental_vacuum", "index_info",
			"index_list", "index_xinfo", "integrity_check", "module_list", "optimize", "page_count", "pragma_list",
			"quick_check", "schema_version", "table_info", "table_list", "table_xinfo", "user_version", "wal_checkpoint":
			return pragmaRead
		}
		return pragmaSet
	case pragmaSet:
		if punct == '=' || punct == '(' {
			return dirty
		}
	}
	return s
}

// reader takes a text apart into words and punctuation. What is in quotes is a word
// as well: SQLite takes strings for names where it wants one.
type reader struct {
	text   string
	at     int
	broken bool // a comment or string without an end
}

// next returns a word or a punctuation mark, and neither at the end.
func (r *reader) next() (word string, punct byte) {
	for r.at < len(r.text) {
		b, from := r.text[r.at], r.at
		switch {
		case b == ' ' || b == '\t' || b == '\n' || b == '\r' || b == '\f':
			r.at++
		case strings.HasPrefix(r.text[from:], "--"):
			r.skip("\n", 2)
			r.broken = false // the last line needs no end
		case strings.HasPrefix(r.text[from:], "/*"):
			r.skip("*/", 2)
			r.broken = false // nor does SQLite ask for it
		case b == '\'' || b == '"' || b == '`' || b == '[':
			if b == '[' {
				r.skip("]", 1)
			} else {
				r.quoted(b)
			}
			if name := r.text[from+1 : max(from+1, r.at-1)]; name != "" {
				return name, 0
			}
		case wordByte(b):
			for r.at < len(r.text) && wordByte(r.text[r.at]) {
				r.at++
			}
			return r.text[from:r.at], 0
		case b == 0: // which is how the end is told
			r.at, r.broken = len(r.text), true
		default:
			r.at++
			return "", b
		}
	}
	return "", 0
}

func (r *reader) skip(end string, opening int) {
	i := strings.Index(r.text[r.at+opening:], end)
	if i < 0 {
		r.at, r.broken = len(r.text), true
		return
	}
	r.at += opening + i + len(end)
}

// quoted skips a text in quotes; a doubled quote is one inside it.
func (r *reader) quoted(quote byte) {
	for {
		i := strings.IndexByte(r.text[r.at+1:], quote)
		if i < 0 {
			r.at, r.broken = len(r.text), true
			return
		}
		r.at += i + 2
		if r.at == len(r.text) || r.text[r.at] != quote {
			return
		}
	}
}

func wordByte(b byte) bool {
	return b >= 0x80 || b == '_' || b == '$' || '0' <= b && b <= '9' || 'a' <= b|0x20 && b|0x20 <= 'z'
}

// lower is a short word in lower case; longer ones are no keywords.
func lower(buf *[24]byte, word string) []byte {
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

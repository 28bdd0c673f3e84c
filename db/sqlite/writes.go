package sqlite

import "strings"

// Writes reports whether one of the statements needs the lock for writing: the pool lets
// one connection at a time have it. What begins with reading and writes inside of a
// transaction, and pragmas, are left to SQLite. It allocates nothing.
func (d *sessions) Writes(query string) bool {
	r := reader{text: query}
	atStart, begins, with := true, false, false
	for {
		word, punct := r.next()
		if word == "" && punct == 0 {
			return false
		}
		if punct == ';' {
			atStart, begins, with = true, false, false
			continue
		}
		if !atStart && !begins && !with {
			if strings.IndexByte(query[r.at:], ';') < 0 {
				return false // the rest of a statement that reads, and the last
			}
			continue
		}
		var low [24]byte
		switch string(lower(&low, word)) {
		case "insert", "update", "delete", "replace", "create", "drop", "alter", "reindex", "analyze", "vacuum":
			if atStart || with && string(lower(&low, word)) != "replace" { // that is a function as well
				return true
			}
		case "begin":
			begins = atStart
		case "immediate", "exclusive":
			if begins && !atStart {
				return true
			}
		case "with":
			with = with || atStart
		}
		atStart = false
	}
}

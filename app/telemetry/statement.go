package telemetry

import "strings"

// operation is the first word of a statement, "" when it is none that is known: it names
// spans and metrics, of which there should be few.
func operation(text string) string {
	word, _ := word(text)
	word = strings.ToUpper(word)
	switch word {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE", "COPY", "CALL", "DO",
		"BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET", "RESET", "SHOW", "PRAGMA",
		"CREATE", "ALTER", "DROP", "TRUNCATE", "REINDEX", "ANALYZE", "VACUUM", "EXPLAIN", "LOCK",
		"DECLARE", "FETCH", "CLOSE", "MOVE", "LISTEN", "UNLISTEN", "NOTIFY", "DISCARD", "DEALLOCATE", "PREPARE", "EXECUTE":
		return word
	}
	return ""
}

// summary is the operation and the first table of a statement without its values:
// "SELECT sales".
func summary(operation, text string) string {
	var before []string
	switch operation {
	case "SELECT", "DELETE", "WITH":
		before = []string{"FROM"}
	case "INSERT", "MERGE":
		before = []string{"INTO"}
	case "UPDATE":
		before = []string{"UPDATE"}
	default:
		return operation
	}
	for rest := text; rest != ""; {
		var w string
		w, rest = word(rest)
		if !strings.EqualFold(w, before[0]) {
			continue
		}
		if table := table(rest); table != "" {
			return operation + " " + table
		}
		break
	}
	return operation
}

// table is the name at the beginning of a text: "sales", or "shop.sales". A subquery has
// none.
func table(text string) string {
	text = strings.TrimLeft(text, " \t\r\n")
	var name strings.Builder
	for text != "" && name.Len() < longestName {
		switch c := text[0]; {
		case c == '"' || c == '`':
			end := strings.IndexByte(text[1:], c)
			if end < 0 {
				return ""
			}
			name.WriteString(text[1 : 1+end])
			text = text[end+2:]
		case c == '.' || isWord(c):
			name.WriteByte(c)
			text = text[1:]
		default:
			return name.String()
		}
	}
	return name.String()
}

const longestName = 128

// word returns the next word of a text, outside of quotes, and what follows it.
func word(text string) (word, rest string) {
	for at := 0; at < len(text); {
		switch c := text[at]; {
		case c == '"' || c == '`' || c == '\'':
			end := strings.IndexByte(text[at+1:], c)
			if end < 0 {
				return "", ""
			}
			at += end + 2
		case isWord(c):
			end := at
			for end < len(text) && isWord(text[end]) {
				end++
			}
			return text[at:end], text[end:]
		default:
			at++
		}
	}
	return "", ""
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80
}

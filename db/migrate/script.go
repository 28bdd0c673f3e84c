package migrate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// script is what a file does, as goose reads it.
type script struct {
	atomic     bool  // runs in a transaction
	reversible bool  // has a Down section
	up, down   []int // the line of each statement, 0 when unknown
}

// parse checks the text of a file and finds its statements. Errors are *[Error]
// values that do not know their app yet.
func parse(file, text string, version int64) (script, error) {
	text = strings.ReplaceAll(text, "\r\n", "\n") // as goose reads lines
	marks, err := outline(text)
	if err != nil {
		return script{}, err
	}
	up, err := transcribe(file, text, version, true)
	if err != nil {
		return script{}, explain(err, text, marks)
	}
	s := script{atomic: up.atomic, reversible: marks.down > 0}
	if s.up, err = s.check(up.statements, text, marks.up); err != nil {
		return script{}, err
	}
	if !s.reversible {
		return s, nil
	}
	down, err := transcribe(file, text, version, false)
	if err != nil {
		return script{}, explain(err, text, marks)
	}
	s.down, err = s.check(down.statements, text, marks.down)
	return s, err
}

// marks are the lines of goose's comments.
type marks struct{ up, down, begin int }

// outline finds goose's comments by goose's rule for them: a line that begins
// with "--" and has "+goose" in it. What is wrong with one goose would report
// without its line.
func outline(text string) (marks, error) {
	var found marks
	fail := func(line int, problem, hint string) error {
		return &Error{Line: line, Err: errors.New(problem), Hint: hint}
	}
	if strings.HasPrefix(text, "\ufeff") {
		return found, fail(1, "the file begins with a byte order mark", "save it as UTF-8 without one")
	}
	number, stray := 0, 0 // stray is the first line that is no comment and no section's
	for line := range strings.Lines(text) {
		number++
		trimmed := strings.TrimSpace(line)
		if !strings.HasPrefix(trimmed, "--") || !strings.Contains(trimmed, "+goose") {
			if stray == 0 && found.up == 0 && trimmed != "" && !strings.HasPrefix(trimmed, "--") {
				stray = number
			}
			continue
		}
		if line[0] != '-' {
			return found, fail(number, fmt.Sprintf("%q is indented", trimmed), "begin it at the start of the line")
		}
		word := strings.TrimSpace(strings.Replace(strings.ReplaceAll(trimmed, "--", ""), "+goose", "", 1))
		switch strings.ToLower(word) {
		case "up":
			if found.up > 0 {
				return found, fail(number, fmt.Sprintf("a second Up section, after that of line %d", found.up), "a file has one of each; use a second file")
			}
			found.up = number
		case "down":
			if found.down > 0 {
				return found, fail(number, fmt.Sprintf("a second Down section, after that of line %d", found.down), "a file has one of each; use a second file")
			}
			if found.up == 0 {
				return found, fail(number, "the Down section comes before an Up section", "write -- +goose Up and its statements first")
			}
			found.down = number
		case "statementbegin":
			found.begin = number
		case "statementend", "no transaction", "envsub on", "envsub off":
		default:
			return found, fail(number, fmt.Sprintf("%q is unknown", trimmed), "say Up, Down, StatementBegin, StatementEnd or NO TRANSACTION after +goose")
		}
	}
	const hint = "write a line -- +goose Up before the statements"
	if found.up == 0 {
		return found, fail(0, "there is no Up section", hint)
	}
	if stray > 0 {
		return found, fail(stray, fmt.Sprintf("something comes before the Up section of line %d", found.up), hint)
	}
	return found, nil
}

// explain turns what goose says about a text into an [Error], with its line for
// the two mistakes that happen every day.
func explain(err error, text string, marks marks) error {
	said := err.Error()
	if _, rest, ok := strings.Cut(said, "unexpected unfinished SQL query: "); ok {
		if quoted, quoteErr := strconv.QuotedPrefix(rest); quoteErr == nil {
			statement, _ := strconv.Unquote(quoted) // QuotedPrefix has checked it
			line, _ := locate(text, statement, 0)
			return &Error{Line: line, Err: fmt.Errorf("no semicolon ends the statement %q", brief(statement)), Hint: "end its last line with ;"}
		}
	}
	if strings.Contains(said, "missing '-- +goose StatementEnd'") {
		return &Error{Line: marks.begin, Err: errors.New("nothing ends this StatementBegin"), Hint: "write a line -- +goose StatementEnd after the statement"}
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner // goose repeats the file and its own layers around it
	}
	return &Error{Err: fmt.Errorf("goose cannot read it: %w", err), Hint: "see the package documentation of db/migrate for what a file looks like"}
}

// check finds the lines of the statements, which come after the line start, and
// refuses those that would undo what a transaction promises.
func (s script) check(statements []string, text string, start int) ([]int, error) {
	offset := 0
	for range start {
		offset += strings.IndexByte(text[offset:], '\n') + 1
	}
	lines := make([]int, len(statements))
	begun := 0
	for i, statement := range statements {
		lines[i], offset = locate(text, statement, offset)
		words := strings.Fields(strings.ToLower(strings.ReplaceAll(statement, ";", " ; ")))
		opens, closes := transaction(words)
		switch {
		case s.atomic && (opens || closes):
			return nil, &Error{Line: lines[i], Err: fmt.Errorf("%q inside the transaction of the file", brief(statement)),
				Hint: "leave it out, or begin the file with -- +goose NO TRANSACTION; around a function or a trigger write StatementBegin and StatementEnd"}
		case s.atomic && len(words) > 1 && words[0] == "pragma" && strings.HasPrefix(words[1], "foreign_keys"):
			return nil, &Error{Line: lines[i], Err: fmt.Errorf("%q does nothing inside the transaction of the file, and rows may go with a dropped table", brief(statement)),
				Hint: "begin the file with -- +goose NO TRANSACTION, and put BEGIN and COMMIT around the change"}
		case opens && !slices.Contains(words, "commit"):
			begun = lines[i]
		case closes:
			begun = 0
		}
	}
	if begun > 0 {
		return nil, &Error{Line: begun, Err: errors.New("nothing ends this transaction"), Hint: "write COMMIT; after its last statement"}
	}
	return lines, nil
}

// transaction tells whether the words of a statement begin or end a transaction.
func transaction(words []string) (opens, closes bool) {
	if len(words) == 0 {
		return false, false
	}
	switch words[0] {
	case "begin":
		return true, false
	case "start":
		return len(words) > 1 && words[1] == "transaction", false
	case "commit", "end", "abort":
		return false, true
	case "rollback":
		return false, !slices.Contains(words, "to")
	}
	return false, false
}

// locate finds the lines that are exactly the statement, from offset on. It
// returns the first one's number and the offset behind the statement, or 0 and
// the same offset: a statement with comments of goose inside is not found.
func locate(text, statement string, offset int) (line, end int) {
	for at := offset; statement != ""; at++ {
		i := strings.Index(text[at:], statement)
		if i < 0 {
			break
		}
		at += i
		before, after := text[:at], text[at+len(statement):]
		indent := before[strings.LastIndexByte(before, '\n')+1:]
		rest, _, _ := strings.Cut(after, "\n")
		if strings.TrimSpace(indent+rest) == "" {
			return strings.Count(before, "\n") + 1, at + len(statement)
		}
	}
	return 0, offset
}

// brief is the beginning of a statement, for messages.
func brief(statement string) string {
	first, _, more := strings.Cut(statement, "\n")
	runes := []rune(first)
	if len(runes) > 60 {
		return string(runes[:60]) + "..."
	}
	if more {
		return first + " ..."
	}
	return first
}

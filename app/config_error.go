package app

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ConfigError is one mistake in the settings: where it is, what is wrong with
// which value, and what to do now. [Load] and [New] report every mistake they
// find at once, joined; errors.As finds the first, and [errors.Join]'s
// Unwrap() []error all of them.
//
// Values that may be secret are never in it: they read "[hidden]".
type ConfigError struct {
	File    string // "settings.yaml", "environment QUINTET_DEBUG"; empty for settings built in Go
	Line    int    // 0 where there are no lines
	Key     string // "DATABASES.default.CONN_MAX_AGE"; empty when the whole file is meant
	Value   string // as it is written; empty when there is none, or when the key itself is wrong
	Problem string // "is negative"
	Hint    string // "use 0 to close after each request, or null to keep the connection"

	told  bool // the problem says the value itself
	cause error
}

// Error reads like
//
//	settings.yaml:12: DATABASES.default.CONN_MAX_AGE: "-5": is negative; use 0 to close after each request, or null to keep the connection
func (e *ConfigError) Error() string {
	var b strings.Builder
	b.WriteString(place{e.File, e.Line}.or("app"))
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	if e.Value != "" && !e.told {
		b.WriteString(": " + strconv.Quote(e.Value))
	}
	b.WriteString(": " + e.Problem)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap returns what the mistake was found by, if there is more to know: a
// *[db.SettingsError], or the error of the file system.
func (e *ConfigError) Unwrap() error { return e.cause }

// place is where something is written.
type place struct {
	file string
	line int
}

func (p place) String() string { return p.or("default") }

func (p place) or(nowhere string) string {
	switch {
	case p.file == "":
		return nowhere
	case p.line == 0:
		return p.file
	}
	return p.file + ":" + strconv.Itoa(p.line)
}

// mentions says whether value stands in text as a word.
func mentions(text, value string) bool {
	inWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	before, after, ok := strings.Cut(text, value)
	last, _ := utf8.DecodeLastRuneInString(before)
	first, _ := utf8.DecodeRuneInString(after)
	return ok && value != "" && !inWord(last) && !inWord(first)
}

package db

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a string that cannot print itself: every verb of fmt, JSON, YAML, and
// log/slog show "[hidden]", and nothing when it is empty. Convert it to string
// to use it. It may be shared by goroutines as any string.
type Secret string

const hidden = "[hidden]"

func (s Secret) shown() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format writes "[hidden]", in quotes where a string has them. Verbs that are none
// of a string's would print the secret in their complaint.
func (s Secret) Format(state fmt.State, verb rune) {
	switch verb {
	case 'v', 's', 'q':
		_, _ = fmt.Fprintf(state, fmt.FormatString(state, verb), s.shown()) // a state keeps its error to itself
	default:
		_, _ = io.WriteString(state, s.shown())
	}
}

// String returns "[hidden]".
func (s Secret) String() string { return s.shown() }

// GoString returns "[hidden]" in quotes.
func (s Secret) GoString() string { return `"` + s.shown() + `"` }

// MarshalText returns "[hidden]"; encoding/json and the YAML packages use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.shown()), nil }

// LogValue returns "[hidden]" to log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.shown()) }

package db

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// Redact returns what of a setting may be shown: the value, or "[hidden]" when
// the key names a secret (PASSWORD, SECRET_KEY, an option such as sslpassword), or
// when the value looks like an address with a password in it. It hides rather
// too much than too little, as Django's debug page does.
func Redact(key, value string) string {
	if value != "" && (namesSecret(key) || holdsSecret(value)) {
		return hidden
	}
	return value
}

func namesSecret(key string) bool {
	key = strings.ToLower(key)
	for _, word := range []string{"pass", "pwd", "secret", "token", "key", "credential", "signature"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

func holdsSecret(value string) bool {
	user, _, hasHost := strings.Cut(value, "@")
	return hasHost && strings.Contains(user, ":") || strings.Contains(strings.ToLower(value), "password")
}

// printed is Settings without methods, so that printing it ends.
type printed Settings

func (s Settings) redacted() printed {
	s.Name = Redact("NAME", s.Name)
	s.Host = Redact("HOST", s.Host)
	s.Options = maps.Clone(s.Options)
	for key, value := range s.Options {
		s.Options[key] = Redact(key, value)
	}
	return printed(s)
}

// Format lets every verb of fmt, and log/slog's text, print the settings without
// their secrets, those in Options too; see [Redact].
func (s Settings) Format(state fmt.State, verb rune) {
	_, _ = fmt.Fprintf(state, fmt.FormatString(state, verb), s.redacted()) // a state keeps its error to itself
}

// MarshalJSON does for encoding/json, and log/slog's JSON, what Format does.
func (s Settings) MarshalJSON() ([]byte, error) { return json.Marshal(s.redacted()) }

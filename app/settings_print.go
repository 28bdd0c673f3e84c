package app

import "fmt"

// printedSettings is Settings without methods, so that printing it ends.
type printedSettings Settings

// Format prints the settings as fmt prints a struct. Where they come from is left
// out, and no verb shows a secret.
func (s Settings) Format(state fmt.State, verb rune) {
	s.origins, s.files = nil, nil
	_, _ = fmt.Fprintf(state, fmt.FormatString(state, verb), printedSettings(s)) // a state keeps its error to itself
}

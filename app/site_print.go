package app

import (
	"fmt"
	"strings"
)

// String names the site by its address and its databases.
func (s *Site) String() string {
	return fmt.Sprintf("app.Site %s databases=[%s]", s.settings.Listen, strings.Join(s.connections.Aliases(), " "))
}

// Format prints the site as String does, with every verb: fmt cannot call the
// methods of unexported fields, and would show the secrets among the settings.
func (s *Site) Format(state fmt.State, _ rune) { _, _ = fmt.Fprint(state, s.String()) }

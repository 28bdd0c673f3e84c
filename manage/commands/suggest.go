package commands

import "github.com/spf13/cobra"

// nearest returns the name that was probably meant, or "" when none is close. Cobra
// knows how for commands; options are no different.
func nearest(word string, names []string) string {
	known := &cobra.Command{SuggestionsMinimumDistance: 2}
	for _, name := range names {
		known.AddCommand(&cobra.Command{Use: name, Run: func(*cobra.Command, []string) {}})
	}
	if meant := known.SuggestionsFor(word); len(word) > 2 && len(meant) > 0 {
		return meant[0]
	}
	return ""
}

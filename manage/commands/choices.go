package commands

import (
	"strings"

	"github.com/goquintet/quintet/app"
)

// meant is the hint for a name that is none of those that there are: which one was
// probably meant, and all of them.
func meant(wrong string, names []string, all string) string {
	hint := all + strings.Join(names, ", ")
	if near := nearest(wrong, names); near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return hint
}

// appNames are the names of the site's apps.
func appNames(site *app.Site) (names []string) {
	for _, a := range site.Apps() {
		names = append(names, a.Name)
	}
	return names
}

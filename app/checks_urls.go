package app

import (
	"fmt"
	"strings"
)

// checkURLs looks for routes that are legal and surprising. Illegal ones [New] has
// refused.
func checkURLs(s *Site, _ []App) (found []Problem) {
	for _, r := range s.table {
		if slashed, ok := s.byShape[r.Method+" "+r.pattern.shape()+"/"]; ok && !strings.HasSuffix(r.Pattern, "/") {
			found = append(found, known("quintet.W011", r.Place+": "+r.what(),
				fmt.Sprintf("is another page than %q of %s: only the slash tells them apart", slashed.text, slashed.Place),
				"keep the one with the slash; APPEND_SLASH leads there"))
		}
		if url := s.settings.StaticURL; strings.HasPrefix(r.Pattern, url) && r.original != nil && !s.servesStatic(r) {
			found = append(found, known("quintet.W012", r.Place+": "+r.what(),
				fmt.Sprintf("lies below STATIC_URL %s: in production the server of static files answers there", url),
				"move the route, or set STATIC_URL"))
		}
	}
	return found
}

// servesStatic says whether a route is the one of all static files.
func (s *Site) servesStatic(r *route) bool {
	p, err := parsePattern("", s.settings.StaticURL+"{path...}")
	return err == nil && p.shape() == r.pattern.shape()
}

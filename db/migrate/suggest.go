package migrate

import (
	"fmt"
	"strings"
)

// choices says which names there are, and which one was probably meant.
func choices(wrong, kind string, names []string) string {
	if len(names) == 0 {
		return "there are no " + kind
	}
	hint := ""
	best := len(wrong)/3 + 2 // more edits than that are another word
	for _, name := range names {
		if d := distance(wrong, name); d < best {
			best = d
			hint = fmt.Sprintf("did you mean %q? ", name)
		}
	}
	return hint + "the " + kind + " are " + strings.Join(names, ", ")
}

// distance counts the edits that lead from a to b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

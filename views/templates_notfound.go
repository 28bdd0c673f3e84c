package views

import (
	"fmt"
	"io/fs"
	"reflect"
	"strings"
)

// TemplateNotFoundError reports a template that no folder has. Django's
// TemplateDoesNotExist.
type TemplateNotFoundError struct {
	Name    string
	At      string   // the file, line and column that name it; "" when a view does
	Looked  []string // the folders, in their order
	Nearest string   // the name that was perhaps meant, "" when none is like it
}

// Error says what was not found, where, and what was perhaps meant.
func (e *TemplateNotFoundError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "views: template %q", e.Name)
	if e.At != "" {
		fmt.Fprintf(&b, ", named at %s,", e.At)
	}
	b.WriteString(" not found")
	if len(e.Looked) == 0 {
		b.WriteString(": there is no folder of templates")
	} else {
		b.WriteString(" in " + strings.Join(e.Looked, ", "))
	}
	if e.Nearest != "" {
		fmt.Fprintf(&b, ": did you mean %q?", e.Nearest)
	}
	return b.String()
}

func (t *Templates) notFound(name, at string) error {
	e := &TemplateNotFoundError{Name: name, At: at}
	for i, folder := range t.options.FS {
		if folder != nil {
			e.Looked = append(e.Looked, place(i, folder))
		}
	}
	if names, err := t.names(); err == nil { // else no suggestion
		e.Nearest = nearest(name, names)
	}
	return e
}

// place names a folder: os.DirFS knows where it is, others what they are.
func place(i int, folder fs.FS) string {
	what := fmt.Sprintf("%T", folder)
	if v := reflect.ValueOf(folder); v.Kind() == reflect.String {
		what = v.String()
	}
	return fmt.Sprintf("folder %d (%s)", i+1, what)
}

// nearest returns the name that is most like the one that was asked for: the same
// file in another folder, or one with few letters changed.
func nearest(asked string, names []string) string {
	best, distance := "", max(2, len(asked)/3)+1
	for _, name := range names {
		d := edits(asked, name)
		if strings.HasSuffix(name, "/"+asked) || strings.HasSuffix(asked, "/"+name) {
			d = 1
		}
		if d < distance {
			best, distance = name, d
		}
	}
	return best
}

// edits is the Levenshtein distance, in bytes.
func edits(a, b string) int {
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

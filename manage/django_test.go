package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDjangoTableNamesTestsThatExist keeps app/DJANGO.md true: each test that it
// names is a test of that package, and each row has one or a reason.
func TestDjangoTableNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile(filepath.Join("..", "app", "DJANGO.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(table)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || !regexp.MustCompile(`^ [A-Z]{2}-\d{3} $`).MatchString(cells[0]) {
			continue
		}
		rows++
		if strings.TrimSpace(cells[2]) == "" {
			t.Errorf("%s has neither a test nor a reason", strings.TrimSpace(cells[0]))
		}
		for _, named := range regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Example)\\w*)`").FindAllStringSubmatch(cells[2], -1) {
			if !hasTest(t, named[1], named[2]) {
				t.Errorf("%s names %s.%s, which does not exist", strings.TrimSpace(cells[0]), named[1], named[2])
			}
		}
	}
	if rows < 90 {
		t.Errorf("the table has %d rows, want all of Django's", rows)
	}
}

// hasTest reports whether the test files of a package have this function.
func hasTest(t *testing.T, pkg, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}

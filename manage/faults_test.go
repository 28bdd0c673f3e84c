package main_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFaultsTableNamesTestsThatExist keeps db/FAULTS.md true: each scenario has a test
// of its own that bears its number, each test that is named exists, and each test that
// bears a number is named.
func TestFaultsTableNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile(filepath.Join("..", "db", "FAULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	unlisted := numberedTests(t, "db", "db/pool", "db/postgres", "db/sqlite", "app")
	scenarios, others := 0, 0
	for line := range strings.Lines(string(table)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		number := strings.TrimSpace(cells[0])
		numbered := len(cells) == 4 && regexp.MustCompile(`^F\d\d$`).MatchString(number)
		if !numbered && (len(cells) != 3 || !strings.Contains(line, "`")) {
			continue
		}
		tests := regexp.MustCompile("`([a-z0-9/]+)\\.(Test\\w*)`").FindAllStringSubmatch(line, -1)
		own := !numbered && len(tests) > 0
		for _, named := range tests {
			if !hasTest(t, named[1], named[2]) {
				t.Errorf("%s names %s.%s, which does not exist", number, named[1], named[2])
			}
			own = own || strings.HasPrefix(named[2], "Test"+number+"_")
			delete(unlisted, named[1]+"."+named[2])
		}
		if !own {
			t.Errorf("%s has no test of its own", number)
		}
		if numbered {
			scenarios++
		} else {
			others++
		}
	}
	for name := range maps.Keys(unlisted) {
		t.Errorf("%s is in no row", name)
	}
	if scenarios < 48 || others < 10 {
		t.Errorf("the tables have %d scenarios and %d others, want all of the list and ten more", scenarios, others)
	}
}

// numberedTests are the tests of packages that bear the number of a scenario.
func numberedTests(t *testing.T, packages ...string) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	for _, pkg := range packages {
		files, err := filepath.Glob(filepath.Join("..", pkg, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, named := range regexp.MustCompile(`(?m)^func (TestF\d\d_\w+)\(`).FindAllStringSubmatch(string(source), -1) {
				found[pkg+"."+named[1]] = true
			}
		}
	}
	return found
}

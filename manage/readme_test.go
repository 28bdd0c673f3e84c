package main_test

import (
	"os"
	"strings"
	"testing"
)

// TestTheReadmeShowsCodeThatRuns: each Go snippet is, word for word, in an example
// that the tests run.
func TestTheReadmeShowsCodeThatRuns(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("demo/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	snippets := strings.Split(string(readme), "```go\n")[1:]
	if len(snippets) < 2 {
		t.Errorf("the README has %d snippets", len(snippets))
	}
	for _, snippet := range snippets {
		snippet, _, _ = strings.Cut(snippet, "```")
		if !strings.Contains(string(example), "\n"+snippet) {
			t.Errorf("demo/example_test.go does not have\n%s", snippet)
		}
	}
}

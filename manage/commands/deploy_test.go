//go:build unix

package commands_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
)

// scaffolded is a file of deploy as a project called blog gets it.
func scaffolded(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("scaffold", "project", "deploy", name+".tmpl")
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := template.New(name).Delims("[[", "]]").Option("missingkey=error").Parse(string(source))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := parsed.Execute(&text, map[string]string{"Name": "blog", "Module": "example.com/blog"}); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

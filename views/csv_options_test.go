package views_test

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"github.com/goquintet/quintet/views"
)

func csvOf[T any](t *testing.T, o views.CSVOptions, all ...T) string {
	t.Helper()
	var b strings.Builder
	for chunk, err := range views.CSVWith(o, rows(all...)) {
		if err != nil {
			t.Fatal(err)
		}
		b.Write(chunk)
	}
	return b.String()
}

func TestCSVWith_WritesAsItsReadersWant(t *testing.T) {
	t.Parallel()
	type item struct {
		Name  string
		Price float64
	}
	all := []item{{"tea", 1.5}, {"a;b", 2}}
	for name, c := range map[string]struct {
		o    views.CSVOptions
		want string
	}{
		"as CSV":          {views.CSVOptions{}, "name,price\ntea,1.5\na;b,2\n"},
		"RFC 4180":        {views.CSVOptions{CRLF: true}, "name,price\r\ntea,1.5\r\na;b,2\r\n"},
		"semicolons":      {views.CSVOptions{Comma: ';'}, "name;price\ntea;1.5\n\"a;b\";2\n"},
		"without header":  {views.CSVOptions{NoHeader: true}, "tea,1.5\na;b,2\n"},
		"for Excel":       {views.CSVOptions{BOM: true, CRLF: true}, "\ufeffname,price\r\ntea,1.5\r\na;b,2\r\n"},
		"a mark, no head": {views.CSVOptions{BOM: true, NoHeader: true}, "\ufefftea,1.5\na;b,2\n"},
	} {
		if got := csvOf(t, c.o, all...); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got, want := csvOf(t, views.CSVOptions{CRLF: true}, []string{""}, []string{"x"}), "\"\"\r\nx\r\n"; got != want {
		t.Errorf("an empty cell alone: %q, want %q", got, want)
	}
	if got := csvOf[item](t, views.CSVOptions{NoHeader: true}); got != "" {
		t.Errorf("no row and no header: %q", got)
	}
}

func TestCSVWith_RefusesASeparatorThatIsNone(t *testing.T) {
	t.Parallel()
	for _, err := range views.CSVWith(views.CSVOptions{Comma: '"'}, rows([]string{"a", "b"})) {
		wantError(t, err, "views: CSV", "delimiter")
	}
}

// OWASP: CSV Injection.
func TestCSVWith_FormulaSafe(t *testing.T) {
	t.Parallel()
	cells := map[string]string{
		"=1+1":                    "'=1+1",
		"=cmd|'/c calc'!A1":       "'=cmd|'/c calc'!A1",
		"+1+1":                    "'+1+1",
		"-1+1":                    "'-1+1",
		"@SUM(A1)":                "'@SUM(A1)",
		"\t=1":                    "'\t=1",
		"\r=1":                    "'\r=1",
		"\n=1":                    "'\n=1",
		"＝1":                      "'＝1",
		"＋1":                      "'＋1",
		"－1":                      "'－1",
		"＠SUM":                    "'＠SUM",
		`=HYPERLINK("http://x")`:  `'=HYPERLINK("http://x")`,
		"-":                       "'-",
		"+-1":                     "'+-1",
		"-.":                      "'-.",
		"-1e":                     "'-1e",
		"-e5":                     "'-e5",
		"-1.5.2":                  "'-1.5.2",
		"-1 ":                     "'-1 ",
		"-1|x":                    "'-1|x",
		"-1":                      "-1",
		"-1.5":                    "-1.5",
		"+49123":                  "+49123",
		"-.5":                     "-.5",
		"-1.":                     "-1.",
		"-1e21":                   "-1e21",
		"-1.5E-07":                "-1.5E-07",
		"+1e+3":                   "+1e+3",
		"":                        "",
		"a=b":                     "a=b",
		"tea":                     "tea",
		"'quoted":                 "'quoted",
		"1+1":                     "1+1",
		"2026-02-03T04:05:06Z":    "2026-02-03T04:05:06Z",
		"says \"=1\", and more\n": "says \"=1\", and more\n",
	}
	for cell, want := range cells {
		row := []string{"x", cell}
		read, err := csv.NewReader(strings.NewReader(csvOf(t, views.CSVOptions{FormulaSafe: true}, row))).Read()
		want = strings.ReplaceAll(want, "\r", "\n") // a reader of CSV makes one of them
		if err != nil || len(read) != 2 || strings.ReplaceAll(read[1], "\r", "\n") != want {
			t.Errorf("%q is read as %q, %v, want %q", cell, read, err, want)
		}
		if !slices.Equal(row, []string{"x", cell}) {
			t.Errorf("the row itself was changed to %q", row)
		}
	}
	type entry struct {
		Name   string `csv:"=name"`
		Amount int
	}
	if got, want := csvOf(t, views.CSVOptions{FormulaSafe: true}, entry{"=x", -1}), "'=name,amount\n'=x,-1\n"; got != want {
		t.Errorf("typed rows: %q, want %q", got, want)
	}
}

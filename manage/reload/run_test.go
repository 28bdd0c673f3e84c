package reload_test

import (
	"os"
	"strings"
	"testing"

	"github.com/goquintet/quintet/manage/reload"
)

func TestAChangeIsServed(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	if got := r.version(); got != "v1" {
		t.Fatalf("it serves %q at first", got)
	}
	r.write("blog/version.go", version("v2"))
	r.seen("blog/version.go")
	r.reloaded()
	if got := r.version(); got != "v2" {
		t.Errorf("after the change it serves %q", got)
	}
}

// TestASourceThatIsNewerThanTheProgramIsBuiltAtOnce: as make would.
func TestASourceThatIsNewerThanTheProgramIsBuiltAtOnce(t *testing.T) {
	t.Parallel()
	m := newModule(t)
	r := m.serve(func(*reload.Options) { m.write("blog/version.go", version("v2")) })
	r.reloaded()
	if got := r.version(); got != "v2" {
		t.Errorf("it serves %q", got)
	}
}

func TestWhatDoesNotCompileIsShownAndTheLastGoodBuildServesOn(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	if status, body, _ := r.browse(); status != 200 || !strings.HasPrefix(body, "<!doctype html><p>v1</p>") {
		t.Fatalf("at first a browser gets %d %s", status, body)
	}
	r.write("blog/version.go", "package blog\n\nconst Version = \"<script>alert(1)</script>\" + nosuch\n")
	f := r.failed()
	if f.Stage != reload.Building || !strings.Contains(f.Output, "blog/version.go:3:") || !strings.Contains(f.Output, "undefined: nosuch") {
		t.Errorf("the failure is %v: %s", f, f.Output)
	}
	status, body, header := r.browse()
	for _, want := range []string{
		"This does not compile", "<b>blog/version.go:3</b>:47", "undefined: nosuch", "<i>3</i><span>const Version",
		"&lt;script&gt;alert(1)&lt;/script&gt;", `<script src="/__quintet__/reload.js?`, "The last good build still answers",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q:\n%s", want, body)
		}
	}
	if status != 500 || header.Get("Cache-Control") != "no-store" || strings.Contains(body, "<script>alert") {
		t.Errorf("the page has status %d, %v", status, header)
	}
	if got := r.version(); got != "v1" {
		t.Errorf("a program gets %q meanwhile", got)
	}
	r.write("blog/version.go", version("v2"))
	r.reloaded()
	if status, body, _ := r.browse(); status != 200 || !strings.HasPrefix(body, "<!doctype html><p>v2</p>") {
		t.Errorf("after the next good save a browser gets %d %s", status, body)
	}
}

// TestAnUndoneMistakeHealsWithoutANewProcess: what is served has been right all the
// time.
func TestAnUndoneMistakeHealsWithoutANewProcess(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	r.write("blog/version.go", version("v2"))
	r.reloaded()
	_, before, _ := r.get("/version")
	r.write("blog/version.go", version("v2")+"what")
	r.failed()
	browser := r.listen()
	broken := browser.next()
	r.write("blog/version.go", version("v2"))
	r.wait("healing", func(e reload.Event) bool { return e.Healed })
	if healed := browser.next(); healed == broken {
		t.Errorf("a browser is told %s again", healed)
	}
	if status, _, _ := r.browse(); status != 200 {
		t.Errorf("a browser gets %d", status)
	}
	if _, after, _ := r.get("/version"); after != before {
		t.Errorf("another process serves: %s, %s", before, after)
	}
}

func TestABuildThatDoesNotStartIsShownAndTheLastGoodOneServesOn(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	r.version()
	r.write("settings.yaml", "broken")
	if f := r.failed(); f.Stage != reload.Starting || f.Status != "exit status 4" || f.Output != "error: settings.yaml: <broken> <nil>" {
		t.Errorf("the failure is %+v", f)
	}
	status, body, _ := r.browse()
	if status != 500 || !strings.Contains(body, "The new build does not start: exit status 4") || !strings.Contains(body, "settings.yaml: &lt;broken&gt;") {
		t.Errorf("a browser gets %d %s", status, body)
	}
	if !strings.Contains(r.said(), "\x1b[31merror:\x1b[0m settings.yaml: <broken>") {
		t.Errorf("the terminal shows %q", r.said())
	}
	if got := r.version(); got != "v1" {
		t.Errorf("a program gets %q meanwhile", got)
	}
	r.write("settings.yaml", "B: 2")
	r.reloaded()
	if _, body, _ := r.get("/version"); !strings.HasPrefix(body, "v1 B: 2 ") {
		t.Errorf("with the new settings it serves %q", body)
	}
}

func TestASiteThatHasEndedStartsAgainWithTheNextSave(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	if status, body, _ := r.get("/exit", "Accept", "text/html"); status != 500 || !strings.Contains(body, "The site has ended: exit status 3") {
		t.Errorf("the request that ends it gets %d %s", status, body)
	}
	if f := r.failed(); f.Stage != reload.Serving || f.Status != "exit status 3" || f.Output != "panic: the ballot box is open" {
		t.Errorf("the failure is %+v", f)
	}
	if status, body, _ := r.browse(); status != 500 || !strings.Contains(body, "The site has ended: exit status 3") || strings.Contains(body, "last good build") {
		t.Errorf("a browser gets %d %s", status, body)
	}
	if status, body, _ := r.get("/version"); status != 503 || body != "the site has ended: exit status 3\n" {
		t.Errorf("a program gets %d %s", status, body)
	}
	r.write("blog/version.go", version("v2"))
	r.reloaded()
	if got := r.version(); got != "v2" {
		t.Errorf("then it serves %q", got)
	}
}

// TestNobodySeesSourceWithoutDebug: failures are for the terminal then.
func TestNobodySeesSourceWithoutDebug(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve(func(o *reload.Options) { o.Browser = false })
	r.version()
	r.write("blog/version.go", "package blog\n\nconst Version = nosuch\n")
	r.failed()
	if status, body, _ := r.browse(); status != 200 || body != "<!doctype html><p>v1</p>" {
		t.Errorf("a browser gets %d %s", status, body)
	}
	if status, _, _ := r.get("/__quintet__/reload.js"); status != 404 {
		t.Errorf("the script is there: %d", status)
	}
}

func TestTheLastOfManySavesWins(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	r.version()
	r.write("blog/version.go", version("v2"))
	r.seen("blog/version.go") // so that it is being built
	r.write("blog/version.go", "package blog\n\nhalf of it")
	r.seen("blog/version.go")
	r.write("blog/version.go", version("v3"))
	r.reloaded()
	if got := r.version(); got != "v3" {
		t.Errorf("it serves %q", got)
	}
	r.write("settings.yaml", "C: 3") // nothing of what was given up comes later
	r.reloaded()
	if _, body, _ := r.get("/version"); !strings.HasPrefix(body, "v3 C: 3 ") {
		t.Errorf("it serves %q", body)
	}
}

// TestEditorsHaveTheirWays: a file that is renamed over the old one, a new package, a
// file that vanishes and comes back, a folder that is moved.
func TestEditorsHaveTheirWays(t *testing.T) {
	t.Parallel()
	for name, poll := range map[string]bool{"told by the system": false, "polling": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newModule(t).serve(func(o *reload.Options) { o.Poll = poll })
			r.version()

			r.write("blog/.version.go.swp", version("renamed"))
			if err := os.Rename(r.path("blog/.version.go.swp"), r.path("blog/version.go")); err != nil {
				t.Fatal(err)
			}
			r.reloaded()
			if got := r.version(); got != "renamed" {
				t.Errorf("after a rename over it serves %q", got)
			}

			r.write("words/more/more.go", "package more\n\nconst Word = \"packaged\"\n")
			r.seen("words/more/more.go")
			r.write("blog/version.go", "package blog\n\nimport \"example.com/blog/words/more\"\n\nconst Version = more.Word\n")
			r.reloaded()
			if got := r.version(); got != "packaged" {
				t.Errorf("with a new package it serves %q", got)
			}
			r.write("words/more/more.go", "package more\n\nconst Word = \"watched\"\n")
			r.reloaded()
			if got := r.version(); got != "watched" {
				t.Errorf("after a change in the new package it serves %q", got)
			}

			if err := os.Remove(r.path("blog/version.go")); err != nil {
				t.Fatal(err)
			}
			if f := r.failed(); !strings.Contains(f.Output, "undefined: Version") {
				t.Errorf("without a file: %s", f.Output)
			}
			r.write("blog/version.go", version("back"))
			r.reloaded()

			r.write("blog/version.go", "package blog\n\nimport \"example.com/blog/words/more\"\n\nconst Version = more.Word\n")
			r.reloaded()
			if err := os.Rename(r.path("words"), r.path(".words")); err != nil {
				t.Fatal(err)
			}
			if f := r.failed(); !strings.Contains(f.Output, "example.com/blog/words/more") {
				t.Errorf("without a folder: %s", f.Output)
			}
			if err := os.Rename(r.path(".words"), r.path("words")); err != nil {
				t.Fatal(err)
			}
			r.wait("change", func(e reload.Event) bool { return len(e.Files) > 0 })
			browser := r.listen()
			for status, _, _ := r.browse(); status != 200; status, _, _ = r.browse() {
				browser.next()
			}
		})
	}
}

// TestAPageThatIsReadAtEachRequestReloadsTheBrowserOnly: nothing has to be built for
// it.
func TestAPageThatIsReadAtEachRequestReloadsTheBrowserOnly(t *testing.T) {
	t.Parallel()
	r := newModule(t).serve()
	r.write("blog/version.go", version("v2"))
	r.reloaded() // what has been built can be compared
	_, before, _ := r.get("/version")
	browser := r.listen()
	first := browser.next()
	r.write("templates/page.html", "two")
	if second := browser.next(); second == first {
		t.Errorf("a browser is told %s again", second)
	}
	if _, body, _ := r.get("/template"); body != "two" {
		t.Errorf("the page is %q", body)
	}
	if _, after, _ := r.get("/version"); after != before {
		t.Errorf("another process serves: %s, %s", before, after)
	}
}

func TestNothingIsLeftInTheTemporaryFolder(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	r := newModule(t).serve()
	r.version()
	r.write("blog/version.go", version("v2"))
	r.reloaded()
	if made, err := os.ReadDir(dir); err != nil || len(made) == 0 {
		t.Fatalf("the folder has %v, %v", made, err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	for _, entry := range left {
		if strings.HasPrefix(entry.Name(), "quintet-reload-") {
			t.Errorf("%s is left", entry.Name())
		}
	}
	if err != nil {
		t.Error(err)
	}
}

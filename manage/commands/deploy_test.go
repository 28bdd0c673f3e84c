//go:build unix

package commands_test

import (
	"debug/elf"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
)

// scaffolded is a file of deploy as a project called blog gets it.
func scaffolded(t *testing.T, name string) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("scaffold", "project", "deploy", name+".tmpl"))
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

// write writes a file, and its folder.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// blog is a project with what the files of deploy speak about: a program, settings,
// an app and a site with static files.
func blog(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	module := strings.Replace(read(filepath.Join(root, "go.mod")), "module github.com/goquintet/quintet\n",
		"module example.com/blog\n\nreplace github.com/goquintet/quintet => "+root+"\n\nrequire github.com/goquintet/quintet v0.0.0\n", 1)
	for name, text := range map[string]string{
		"go.mod":                             module,
		"go.sum":                             read(filepath.Join(root, "go.sum")),
		"settings.yaml":                      "DEBUG: true\nDATABASES: {default: {ENGINE: sqlite, NAME: db.sqlite3}}\n",
		"manage/main.go":                     read("testdata/served/main.go"),
		"manage/migrations/0001_initial.sql": read("testdata/served/migrations/0001_initial.sql"),
		"polls/static/polls/live.js":         "// live",
		"polls/static/site.css":              "/* of the app */",
		"site/static/site.css":               "/* of the site */",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

// TestSystemdKnowsTheUnits: systemd finds nothing to say about them, under their own
// names and as templates for several processes.
func TestSystemdKnowsTheUnits(t *testing.T) {
	t.Parallel()
	analyze := installed(t, "systemd", "systemd-analyze")
	dir := t.TempDir()
	service := strings.ReplaceAll(scaffolded(t, "NAME.service"), "/opt/blog/manage", analyze) // a program that is there
	for name, text := range map[string]string{
		"blog.service": service, "blog@.service": service, "blog.socket": scaffolded(t, "NAME.socket"),
	} {
		write(t, filepath.Join(dir, name), text)
	}
	for _, args := range [][]string{
		{"verify", "./blog.socket", "./blog.service"},
		{"verify", "./blog@1.service"},
		{"security", "--offline=yes", "--threshold=20", "./blog.service"}, // of 100: 0 is closed, 96 a unit that says nothing
	} {
		cmd := exec.CommandContext(t.Context(), analyze, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestTheReadmeOfDeploy does what it says, as far as that needs no root and no
// systemd: build, collect the static files, and serve, with its environment, the
// command line of the unit, and nginx before it.
func TestTheReadmeOfDeploy(t *testing.T) {
	t.Parallel()
	dir := blog(t)
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(scaffolded(t, "README.md"), -1)
	for _, block := range blocks[:2] {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-euc", block[1])
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", block[1], err, out)
		}
	}
	var environ []string
	for line := range strings.Lines(blocks[2][1]) {
		if line = strings.TrimSpace(line); !strings.Contains(line, "_DATABASES_") {
			environ = append(environ, strings.Replace(line, "=...", "=a secret of the test", 1))
		}
	}
	environ = append(environ, "QUINTET_DATABASES__DEFAULT__NAME="+filepath.Join(t.TempDir(), "db.sqlite3"))

	command := regexp.MustCompile(`(?m)^ExecStart=/opt/blog/(.*)$`).FindStringSubmatch(scaffolded(t, "NAME.service"))
	args := strings.Fields(command[1])
	migrate := start(t, dir, nil, environ, filepath.Join(dir, "bin", args[0]), "migrate")
	if status, said := migrate.ends(t); status != 0 {
		t.Fatalf("migrate ends with %d:\n%s", status, said)
	}
	run := t.TempDir()
	socket, address := shared(t, run, "unix")
	p := start(t, dir, []*os.File{socket}, append(environ, "LISTEN_FDS=1"), filepath.Join(dir, "bin", args[0]), args[1:]...)
	p.serving(t, 1)
	front := nginx(t, filepath.Join(dir, "bin", "staticfiles"), "unix", address)
	client := clientOf(t, "tcp", front, nil)
	var got believed
	if err := json.Unmarshal([]byte(mustFetch(t, client, http.MethodGet, "/who", "", http.Header{"X-Forwarded-Proto": {"https"}})), &got); err != nil {
		t.Fatal(err)
	}
	if got.Client != "127.0.0.1" || got.Scheme != "http" || got.Host != "blog.example.com" {
		t.Errorf("the site believes %+v", got)
	}
	for path, want := range map[string]string{"/static/site.css": "/* of the site */", "/static/polls/live.js": "// live"} {
		if body := mustFetch(t, client, http.MethodGet, path, "", nil); body != want {
			t.Errorf("%s is %q", path, body)
		}
	}
	p.signal(t, os.Interrupt)
	if status, said := p.ends(t); status != 0 || strings.Contains(said, `"WARN"`) || strings.Contains(said, `"ERROR"`) {
		t.Errorf("it ends with %d:\n%s", status, said)
	}
}

// TestTheStepsOfTheDockerfile takes them one by one, in folders instead of layers.
func TestTheStepsOfTheDockerfile(t *testing.T) {
	t.Parallel()
	project := blog(t)
	image := buildImage(t, scaffolded(t, "Dockerfile"), project)

	program := filepath.Join(image.root, image.entrypoint[0])
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("the program needs a C library, which the image does not have")
	}
	environ := slices.Concat(image.env, []string{"QUINTET_ALLOWED_HOSTS=blog.example.com", "QUINTET_DATABASES__DEFAULT__NAME=:memory:"})
	command := strings.Split(strings.Replace(strings.Join(image.command, " "), "0.0.0.0:8000", "127.0.0.1:0", 1), " ")
	p := start(t, filepath.Join(image.root, image.workdir), nil, environ, program, append(image.entrypoint[1:], command...)...)
	mustFetch(t, clientOf(t, "tcp", p.serving(t, 1)[0], nil), http.MethodGet, "/who", "", nil)
	p.stops(t)
}

// image is what a Dockerfile makes.
type image struct {
	root, workdir       string
	entrypoint, command []string
	env                 []string
}

// buildImage knows the instructions that the Dockerfile of the scaffold has, and no
// other. What a stage begins with is an empty folder, so a step may use the
// programs of this machine only.
func buildImage(t *testing.T, dockerfile, project string) (built image) {
	t.Helper()
	stages := map[string]image{}
	dockerfile = strings.ReplaceAll(dockerfile, "\\\n", "")
	for line := range strings.Lines(dockerfile) {
		line = strings.TrimSpace(line)
		name, rest, _ := strings.Cut(line, " ")
		words := strings.Fields(rest)
		list := func() (values []string) {
			if err := json.Unmarshal([]byte(rest), &values); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return values
		}
		switch {
		case line == "" || strings.HasPrefix(line, "#") || name == "EXPOSE":
			continue
		case name == "FROM":
			built = image{root: t.TempDir(), workdir: "/"}
			if len(words) == 3 {
				stages[words[2]] = built
			}
		case name == "WORKDIR":
			built.workdir = words[0]
			built.step(t, project, "mkdir -p "+words[0])
		case name == "COPY" && strings.HasPrefix(words[0], "--from="):
			from := stages[strings.TrimPrefix(words[0], "--from=")]
			built.step(t, from.root, "cp -R ."+words[1]+". "+words[2])
		case name == "COPY":
			built.step(t, project, "cp -R "+words[0]+" "+built.workdir)
		case name == "RUN":
			words = slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, "--mount=type=cache,") })
			built.step(t, filepath.Join(built.root, built.workdir), strings.Join(words, " "))
		case name == "ENV":
			built.env = append(built.env, words...)
		case name == "ENTRYPOINT":
			built.entrypoint = list()
		case name == "CMD":
			built.command = list()
		default:
			t.Fatalf("the Dockerfile has a step that this test does not know: %s", line)
		}
	}
	return built
}

// step runs a command in a folder; absolute paths are those of the image.
func (i image) step(t *testing.T, dir, command string) {
	t.Helper()
	command = regexp.MustCompile(`(^|\s)/`).ReplaceAllString(command, "${1}"+i.root+"/")
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-euc", command)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

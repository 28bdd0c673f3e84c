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

	"github.com/goquintet/quintet/manage/commands"
)

// startedWithApp is a new project with a first app.
func startedWithApp(t *testing.T) (root string) {
	t.Helper()
	root = started(t)
	if r := run(t, commands.Env{Dir: root}, "startapp", "polls"); r.status != 0 {
		t.Fatalf("startapp polls: %+v", r)
	}
	return root
}

// TestSystemdKnowsTheUnits: systemd finds nothing to say about them, under their own
// names and as templates for several processes.
func TestSystemdKnowsTheUnits(t *testing.T) {
	t.Parallel()
	analyze := installed(t, "systemd", "systemd-analyze")
	deploy, dir := filepath.Join(started(t), "deploy"), t.TempDir()
	service := strings.ReplaceAll(read(t, deploy, "blog.service"), "/opt/blog/manage", analyze) // a program that is there
	for name, text := range map[string]string{
		"blog.service": service, "blog@.service": service, "blog.socket": read(t, deploy, "blog.socket"),
	} {
		write(t, text, dir, name)
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
// systemd: build, collect the static files, check, migrate and serve, with its
// environment, the command line of the unit, and nginx before it.
func TestTheReadmeOfDeploy(t *testing.T) {
	t.Parallel()
	installed(t, "nginx", "nginx")
	root := startedWithApp(t)
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(read(t, root, "deploy", "README.md"), -1)
	for _, block := range blocks[:2] {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-euc", block[1])
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", block[1], err, out)
		}
	}
	var environ []string
	for line := range strings.Lines(blocks[2][1]) {
		if line = strings.TrimSpace(line); !strings.Contains(line, "_DATABASES_") {
			environ = append(environ, strings.Replace(line, "=...", "=only-for-this-test-and-long-enough-0123456789-abcdefghijklmno", 1))
		}
	}
	environ = append(environ, "QUINTET_DATABASES__DEFAULT__NAME="+filepath.Join(t.TempDir(), "db.sqlite3"))

	program := filepath.Join(root, "bin", "manage")
	for _, args := range [][]string{{"check", "--deploy"}, {"migrate"}} {
		if status, said := start(t, root, nil, environ, program, args...).ends(t); status != 0 {
			t.Fatalf("%s ends with %d:\n%s", args, status, said)
		}
	}
	command := regexp.MustCompile(`(?m)^ExecStart=/opt/blog/manage (.*)$`).FindStringSubmatch(read(t, root, "deploy", "blog.service"))
	socket, address := shared(t, t.TempDir(), "unix")
	p := start(t, root, []*os.File{socket}, append(environ, "LISTEN_FDS=1"), program, strings.Fields(command[1])...)
	p.serving(t, 1)
	client := clientOf(t, "tcp", nginx(t, filepath.Join(root, "bin", "staticfiles"), "unix", address), nil)
	for path, want := range map[string]string{
		"/":                     "Blog is running",
		"/polls/":               "Nothing here yet",
		"/static/site.css":      read(t, root, "site", "static", "site.css"),
		"/static/polls/live.js": read(t, root, "polls", "static", "polls", "live.js"),
	} {
		if body := mustFetch(t, client, http.MethodGet, path, "", nil); !strings.Contains(body, want) {
			t.Errorf("%s is %q", path, body)
		}
	}
	for _, request := range p.logs(t, "request", 2) {
		if request["client"] != "127.0.0.1" {
			t.Errorf("the client is %v", request)
		}
	}
	p.signal(t, os.Interrupt)
	if status, said := p.ends(t); status != 0 || strings.Contains(said, `"ERROR"`) {
		t.Errorf("it ends with %d:\n%s", status, said)
	}
}

// TestTheStepsOfTheDockerfile takes them one by one, in folders instead of layers.
func TestTheStepsOfTheDockerfile(t *testing.T) {
	t.Parallel()
	project := startedWithApp(t)
	image := buildImage(t, read(t, project, "deploy", "Dockerfile"), project)

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
	command := strings.Fields(strings.Replace(strings.Join(image.command, " "), "0.0.0.0:8000", "127.0.0.1:0", 1))
	p := start(t, filepath.Join(image.root, image.workdir), nil, environ, program, append(image.entrypoint[1:], command...)...)
	mustFetch(t, clientOf(t, "tcp", p.serving(t, 1)[0], nil), http.MethodGet, "/", "", nil)
	health := exec.CommandContext(t.Context(), filepath.Join(image.root, image.health[0]), image.health[1:]...)
	health.Dir, health.Env = filepath.Join(image.root, image.workdir), append(os.Environ(), environ...)
	if out, err := health.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), " is ready.\n") {
		t.Errorf("its HEALTHCHECK says %v: %s", err, out)
	}
	p.stops(t)
	health = exec.CommandContext(t.Context(), health.Path, image.health[1:]...)
	health.Dir, health.Env = filepath.Join(image.root, image.workdir), append(os.Environ(), environ...)
	if out, err := health.CombinedOutput(); err == nil || !strings.HasPrefix(string(out), "error: no process serves this site") {
		t.Errorf("after its end its HEALTHCHECK says %v: %s", err, out)
	}
}

// image is what a Dockerfile makes.
type image struct {
	root, workdir       string
	entrypoint, command []string
	health              []string
	env                 []string
}

// buildImage knows the instructions that the Dockerfile of the scaffold has, and no
// other. What a stage begins with is an empty folder, so a step may use the
// programs of this machine only.
func buildImage(t *testing.T, dockerfile, project string) (built image) {
	t.Helper()
	stages := map[string]image{}
	for line := range strings.Lines(strings.ReplaceAll(dockerfile, "\\\n", "")) {
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
			if len(words) == 3 { // FROM image AS name
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
		case name == "HEALTHCHECK":
			_, rest, _ = strings.Cut(rest, " CMD ")
			built.health = list()
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

package reload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// Program is a program and the place of its source.
type Program struct {
	Package    string   // the import path of its main package
	Dir        string   // where "go build" finds that package
	Flags      []string // what it was built with, as far as it matters
	Executable string   // the file that runs now
}

// Find finds the source of the program that is running. Where there is none, as on
// a server, or nothing to build it with, the error says so in a few words.
func Find(ctx context.Context) (Program, error) {
	if !supported {
		return Program{}, errors.New("this operating system is not supported")
	}
	info, ok := debug.ReadBuildInfo()
	switch {
	case !ok || info.Path == "":
		return Program{}, errors.New("the program does not know what it was built from")
	case info.Path == "command-line-arguments":
		return Program{}, errors.New("the program was built from single files; name its package, as in go run ./manage")
	}
	executable, err := os.Executable()
	if err != nil {
		return Program{}, err
	}
	if _, err := exec.LookPath("go"); err != nil {
		return Program{}, errors.New("the go command is not installed, or not in PATH")
	}
	here, err := os.Getwd()
	if err != nil {
		return Program{}, err
	}
	p := Program{Package: info.Path, Flags: flagsOf(info), Executable: executable}
	for _, dir := range []string{here, filepath.Dir(executable)} {
		if p.Dir = dir; p.isHere(ctx) {
			return p, nil
		}
	}
	return Program{}, fmt.Errorf("the source of %s is not in this folder", info.Path)
}

// flagsOf are the flags without which another program would come out.
func flagsOf(info *debug.BuildInfo) []string {
	var flags []string
	for _, s := range info.Settings {
		if slices.Contains([]string{"-tags", "-race", "-trimpath"}, s.Key) && s.Value != "" {
			flags = append(flags, s.Key+"="+s.Value)
		}
	}
	return flags
}

// isHere reports whether Dir lies in the module of the package. That of a module in
// the cache cannot change.
func (p Program) isHere(ctx context.Context) bool {
	cmd := exec.CommandContext(ctx, "go", "list", "-find", "-f", "{{with .Module}}{{.Main}}{{end}}", p.Package)
	cmd.Dir = p.Dir
	out, err := cmd.Output()
	return err == nil && strings.TrimSpace(string(out)) == "true"
}

// layout is where the files lie that a program is made of.
type layout struct {
	roots  []string        // the folders of the modules that can change
	embeds map[string]bool // folders with embedded files
	extras map[string]bool // single files elsewhere
}

// layout asks Go. It works on code that does not compile as well.
func (p Program) layout(ctx context.Context) (layout, error) {
	l := layout{embeds: make(map[string]bool), extras: make(map[string]bool)}
	args := slices.Concat([]string{"list", "-e", "-deps", "-json=Dir,EmbedFiles,Module"}, p.Flags, []string{p.Package})
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = p.Dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return l, fmt.Errorf("go list: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var listed struct {
			Dir        string
			EmbedFiles []string
			Module     *struct {
				Dir     string
				Main    bool
				Replace *struct{ Version string }
			}
		}
		if err := dec.Decode(&listed); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return l, fmt.Errorf("go list: %w", err)
		}
		m := listed.Module
		if m == nil || m.Dir == "" || !m.Main && (m.Replace == nil || m.Replace.Version != "") {
			continue // the standard library, or a version that cannot change
		}
		if !slices.Contains(l.roots, m.Dir) {
			l.roots = append(l.roots, m.Dir)
		}
		for _, name := range listed.EmbedFiles {
			l.embeds[filepath.Dir(filepath.Join(listed.Dir, name))] = true
		}
	}
	if work := p.workspace(ctx); work != "" {
		l.extras[work] = true
	}
	if len(l.roots) == 0 {
		return l, fmt.Errorf("go list finds no module of %s that can change", p.Package)
	}
	return l, nil
}

// workspace is the go.work file, if one is used.
func (p Program) workspace(ctx context.Context) string {
	cmd := exec.CommandContext(ctx, "go", "env", "GOWORK")
	cmd.Dir = p.Dir
	out, err := cmd.Output()
	if path := strings.TrimSpace(string(out)); err == nil && path != "off" {
		return path
	}
	return ""
}

// short is how a path is shown.
func (p Program) short(path string) string {
	if rel, err := filepath.Rel(p.Dir, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}

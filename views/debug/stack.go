package debug

import (
	"bytes"
	"net/http"
	"path"
	"reflect"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// frame is one call.
type frame struct {
	function string // "github.com/you/blog/polls.(*Store).Find"
	file     string
	line     int
}

// name is the function without the folder of its package. A version is none of it.
func (f *frame) name() string {
	dir, name := path.Split(f.function)
	if len(name) > 2 && name[0] == 'v' && '0' <= name[1] && name[1] <= '9' && dir != "" {
		return path.Base(dir) + "/" + name
	}
	return name
}

// at is the place as the rest of the framework says it: folder/file.go:line.
func (f *frame) at() string {
	if f.file == "" {
		return "an unknown place"
	}
	dir, file := path.Split(f.file)
	at := path.Join(path.Base(dir), file)
	if f.line > 0 {
		at += ":" + strconv.Itoa(f.line)
	}
	return at
}

// mostFrames is more than the runtime prints.
const mostFrames = 128

// parseStack reads what runtime/debug.Stack has written, the innermost call first.
func parseStack(stack []byte) (frames []frame) {
	var pending string
	for line := range bytes.Lines(stack) {
		text := strings.TrimRight(string(line), "\r\n")
		switch {
		case len(frames) == mostFrames:
			return frames
		case strings.HasPrefix(text, "goroutine "), text == "":
		case strings.HasPrefix(text, "\t"):
			if pending == "" {
				continue
			}
			file, line := parsePlace(strings.TrimSpace(text))
			frames = append(frames, frame{pending, file, line})
			pending = ""
		case strings.HasPrefix(text, "created by "):
			pending, _, _ = strings.Cut(strings.TrimPrefix(text, "created by "), " in goroutine ")
			pending = strings.ReplaceAll(pending, "%2e", ".")
		default:
			pending = text
			if i := strings.LastIndexByte(text, '('); i > 0 {
				pending = text[:i]
			}
			pending = strings.ReplaceAll(pending, "%2e", ".")
		}
	}
	return frames
}

// parsePlace reads "/folder/file.go:12 +0x34".
func parsePlace(text string) (file string, line int) {
	text, _, _ = strings.Cut(text, " +0x")
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return text, 0
	}
	line, err := strconv.Atoi(text[i+1:])
	if err != nil {
		return text, 0
	}
	return text[:i], line
}

func framesOf(calls []runtime.Frame) []frame {
	frames := make([]frame, len(calls))
	for i, c := range calls {
		frames[i] = frame{c.Function, c.File, c.Line}
	}
	return frames
}

// kind is whose code a frame is.
type kind string

const (
	own        kind = "own"
	framework  kind = "Quintet"
	dependency kind = "a module"
	standard   kind = "Go"
)

const module = "github.com/goquintet/quintet"

// owners tells the code of the site from everything else.
type owners struct {
	main string // the path of the module that runs; empty when it is not known
	root string // the folder of Go's own sources, with a slash; empty when it is not known
}

func newOwners() owners {
	var o owners
	if info, ok := debug.ReadBuildInfo(); ok {
		o.main = info.Main.Path
	}
	// With -trimpath the binary does not know where Go is.
	f := runtime.FuncForPC(reflect.ValueOf(http.Error).Pointer())
	file, _ := f.FileLine(f.Entry())
	o.root, _ = strings.CutSuffix(file, "net/http/server.go")
	return o
}

func (o owners) of(f *frame) kind {
	in := packageOf(f.function)
	switch {
	case in == module || strings.HasPrefix(in, module+"/"):
		// The demo is written as any user's site, and tests are users.
		if strings.HasSuffix(in, "_test") || strings.HasPrefix(in, module+"/manage/demo") || o.main != module && in == o.main {
			return own
		}
		return framework
	case in == "main", o.main != "" && (in == o.main || in == o.main+"_test" || strings.HasPrefix(in, o.main+"/")):
		return own
	case f.file == "", o.root != "" && strings.HasPrefix(f.file, o.root):
		return standard
	case strings.Contains(f.file, "@v"), strings.Contains(f.file, "/vendor/"):
		return dependency
	case o.root == "" && !strings.Contains(strings.Split(in, "/")[0], "."):
		return standard
	}
	return own // of a workspace, or of a folder that replaces a module
}

// packageOf is the path of the package that a function is in.
func packageOf(function string) string {
	slash := strings.LastIndexByte(function, '/') + 1
	if dot := strings.IndexByte(function[slash:], '.'); dot >= 0 {
		return function[:slash+dot]
	}
	return function // panic, and others that the language has
}

package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Folder is where the sockets of one site are. It need not exist. Its methods may be
// called concurrently, and by several processes.
type Folder struct {
	path string
	own  bool // it and the one above are ours to make, and it is ours to remove
}

// At is a folder that somebody has chosen, for one site only.
func At(path string) Folder { return Folder{path: path} }

// Default are the folders that a site has without anybody's choice: who listens takes
// the first, and who looks for others looks into all of them, because a process that
// was started elsewhere may know other ones. The site is named by one short word,
// which becomes part of a path.
func Default(site string) []Folder { return defaults(site, os.Getenv, os.TempDir()) }

func defaults(site string, getenv func(string) string, temp string) (folders []Folder) {
	add := func(above string) {
		f := Folder{path: filepath.Join(above, site), own: true}
		if f.tooLong() == nil && !slices.Contains(folders, f) {
			folders = append(folders, f)
		}
	}
	if runtime := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(runtime) && ownedByUs(runtime) == nil { // or it is that of who we were before sudo
		add(filepath.Join(runtime, "quintet"))
	}
	mine := "quintet-" + strconv.Itoa(os.Geteuid())
	add(filepath.Join(temp, mine))
	add(filepath.Join("/tmp", mine)) // TMPDIR may be too long, or another one for another process
	return folders
}

// String is the path.
func (f Folder) String() string { return f.path }

// longestName is the length of the name of a socket, at most.
const longestName = len(unnamed + "18446744073709551615-00000000" + suffix)

// Error is what keeps a folder from being used, and what to do.
type Error struct {
	Folder  string
	Problem string
	Hint    string // may be empty
	Err     error  // may be nil
}

// Error names the folder, what is wrong with it, and what to do.
func (e *Error) Error() string {
	s := "admin: " + e.Folder + ": " + e.Problem
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// wrong explains an error of the file system.
func (f Folder) wrong(err error) *Error {
	e := &Error{Folder: f.path, Problem: err.Error(), Hint: "choose another folder", Err: err}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		e.Problem = path.Err.Error()
		if path.Path != f.path {
			e.Problem = path.Path + ": " + e.Problem
		}
	}
	return e
}

func (f Folder) tooLong() error {
	if n := len(f.path) + 1 + longestName; n > longestPath {
		return &Error{
			Folder: f.path, Problem: fmt.Sprintf("a socket in it has a path of up to %d bytes, and the system's limit is %d", n, longestPath),
			Hint: "choose a folder with a shorter path",
		}
	}
	return nil
}

// prepare makes the folder, if need be.
func (f Folder) prepare() error {
	if err := f.tooLong(); err != nil {
		return err
	}
	if !f.own {
		if err := os.MkdirAll(f.path, 0o700); err != nil {
			return f.wrong(err)
		}
		return f.private()
	}
	for _, folder := range f.guarded() {
		if err := os.Mkdir(folder.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return folder.wrong(err)
		}
		if err := folder.private(); err != nil {
			return err
		}
	}
	return nil
}

// guarded are the folders that have to be private.
func (f Folder) guarded() []Folder {
	if !f.own {
		return []Folder{f}
	}
	return []Folder{{path: filepath.Dir(f.path)}, f} // in a temporary folder anybody can make them
}

// private insists that nobody else can get at what is in the folder.
func (f Folder) private() error {
	info, err := os.Lstat(f.path)
	switch {
	case err != nil:
		return f.wrong(err)
	case !info.IsDir():
		return &Error{Folder: f.path, Problem: "is no folder", Hint: "choose another one, or remove what is there"}
	}
	if err := ownedByUs(f.path); err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return &Error{
			Folder: f.path, Problem: fmt.Sprintf("is open to other users (mode %04o)", mode),
			Hint: "say chmod 700, or choose a folder below it",
		}
	}
	return nil
}

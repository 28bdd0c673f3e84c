package commands

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// absolute reads a path as the user means it, from where the command runs.
func (c *cli) absolute(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.env.Dir, path)
	}
	return filepath.Abs(path)
}

// checkTarget says what is in the way of a new folder. One that was named with the
// command may exist when there is nothing in it; git's own folder is nothing.
func checkTarget(folder string, named bool) error {
	entries, err := os.ReadDir(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(folder); err == nil {
			return &Error{Problem: folder + " is a link to nothing", Hint: "remove it, or choose another name"}
		}
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return inTheWay(folder)
	case err != nil:
		return unwritable(folder, err)
	case !named:
		return &Error{Problem: folder + " exists already", Hint: "choose another name, or another folder: NAME DIR"}
	}
	for _, entry := range entries {
		if entry.Name() != ".git" {
			return &Error{
				Problem: fmt.Sprintf("%s is not empty: %s is in it", folder, entry.Name()),
				Hint:    "choose another folder; nothing is ever overwritten",
			}
		}
	}
	return nil
}

// inTheWay names the file where a folder should be.
func inTheWay(folder string) error {
	for path := folder; ; path = filepath.Dir(path) {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return &Error{Problem: path + " is a file, where a folder is needed", Hint: "choose another name, or another folder"}
		}
		if path == filepath.Dir(path) {
			return &Error{Problem: folder + " can be no folder", Hint: "choose another one"}
		}
	}
}

func unwritable(folder string, err error) error {
	return &Error{Problem: fmt.Sprintf("%s cannot be made: %v", folder, reason(err)), Hint: "choose a folder that you may write to", Err: err}
}

// reason is an error of the file system without its paths, which are told anyway.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}

// place makes a folder with files in it. All of it is written beside its place first
// and then moved there, so that a failure leaves nothing behind.
func place(folder string, files []newFile) (err error) {
	above, rest := folder, ""
	for {
		if _, err := os.Stat(above); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) || above == filepath.Dir(above) {
			return unwritable(folder, err)
		}
		above, rest = filepath.Dir(above), filepath.Join(filepath.Base(above), rest)
	}
	draft := filepath.Join(above, ".quintet-"+rand.Text()[:8])
	defer func() { err = errors.Join(err, os.RemoveAll(draft)) }()
	for _, file := range files {
		path := filepath.Join(draft, rest, filepath.FromSlash(file.path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return unwritable(folder, err)
		}
		if err := os.WriteFile(path, file.text, 0o644); err != nil {
			return unwritable(folder, err)
		}
	}
	return moveAll(draft, above)
}

// moveAll moves what is in one folder into another, or nothing of it.
func moveAll(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for i, entry := range entries {
		err := rename(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name()))
		if err == nil {
			continue
		}
		err = unwritable(filepath.Join(to, entry.Name()), err)
		for _, moved := range entries[:i] {
			err = errors.Join(err, os.Rename(filepath.Join(to, moved.Name()), filepath.Join(from, moved.Name())))
		}
		return err
	}
	return nil
}

// rename moves a file or a folder to where nothing is.
func rename(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	}
	return os.Rename(from, to)
}

// rewrite replaces files by others, all of them or none. A reader sees the old or the
// new one, never half of it.
func rewrite(changes []change) error {
	for i, c := range changes {
		err := replaceFile(c.path, c.text)
		if err == nil {
			continue
		}
		err = &Error{Problem: fmt.Sprintf("%s cannot be written: %v", c.path, reason(err)), Hint: "see that you may write to it", Err: err}
		for _, done := range changes[:i] {
			err = errors.Join(err, replaceFile(done.path, done.old))
		}
		return err
	}
	return nil
}

func replaceFile(path string, text []byte) (err error) {
	path, err = filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	draft := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"-"+strings.ToLower(rand.Text()[:8]))
	if err := os.WriteFile(draft, text, info.Mode().Perm()); err != nil {
		return errors.Join(err, os.RemoveAll(draft))
	}
	if err := os.Rename(draft, path); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	return nil
}

package views

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"strconv"
)

// File answers with a file of FS. Ranges, If-Modified-Since and the other
// conditions are answered as by [http.ServeContent], on which it stands: with
// 206, 304, 412 or 416. A conditional request needs a modification time, which
// embedded files do not have, or an ETag in Header.
//
// A name that does not exist, is a directory or is no valid [fs.ValidPath], such
// as one with "..", is [ErrNotFound]; directories are never listed. A Status
// other than 0 and 200 sends the whole file with that status, whatever the client
// asked for, and so does a file that cannot seek. A client may take as long for the
// whole as it likes, but not for a piece of it: see STREAM_WRITE_TIMEOUT of the site.
// Django's FileResponse.
type File struct {
	Status      int
	Header      http.Header
	Cookies     []*http.Cookie
	FS          fs.FS
	Name        string // slash-separated, relative to FS
	ContentType string // by default guessed from the Name, then from the content
	Attachment  string // when set, browsers save the file under this name, of whatever script
}

// Respond sends the file, or what the conditions of the request ask for instead.
func (f File) Respond(w http.ResponseWriter, r *Request) (err error) {
	h := head{"File", status(f.Status, http.StatusOK), f.Header, f.Cookies, f.ContentType}
	if err := h.check(); err != nil {
		return err
	}
	if f.FS == nil {
		return fmt.Errorf("views: File: %q has no FS: say where it is", f.Name)
	}
	if err := errors.Join(h.oneType(), h.attach(f.Attachment)); err != nil {
		return err
	}
	file, info, err := f.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	h.apply(w)
	to := &fileWriter{paced: pace(w, r), name: f.Name}
	if content, ok := seekable(file); ok && h.status == http.StatusOK {
		http.ServeContent(to, r.Request, f.Name, info.ModTime(), content)
		return to.err
	}
	f.copy(to, r, h, file, info.Size())
	return to.err
}

// open opens a regular file, or says why there is no such page.
func (f File) open() (fs.File, fs.FileInfo, error) {
	if !fs.ValidPath(f.Name) {
		return nil, nil, &Error{Status: http.StatusNotFound, Err: &fs.PathError{Op: "open", Path: f.Name, Err: fs.ErrInvalid}}
	}
	file, err := f.FS.Open(f.Name)
	if err != nil {
		err = fmt.Errorf("views: File: %w", err)
		if f.insideFile() {
			return nil, nil, &Error{Status: http.StatusNotFound, Err: err}
		}
		return nil, nil, Or404(err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = &Error{Status: http.StatusNotFound, Err: fmt.Errorf("views: File: %q is a directory", f.Name)}
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

// insideFile reports whether the name goes on after that of a file, which is
// another error on each system.
func (f File) insideFile() bool {
	for parent := path.Dir(f.Name); parent != "."; parent = path.Dir(parent) {
		if info, err := fs.Stat(f.FS, parent); err == nil && !info.IsDir() {
			return true
		}
	}
	return false
}

// copy sends the whole file and its length.
func (f File) copy(to *fileWriter, r *Request, h head, file fs.File, size int64) {
	if h.bodyAllowed() {
		if to.Header().Get("Content-Type") == "" {
			to.Header().Set("Content-Type", typeByName(f.Name))
		}
		to.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	}
	to.WriteHeader(h.status)
	if h.empty(r) {
		return
	}
	n, err := to.ReadFrom(io.LimitReader(&source{Reader: file}, size))
	if err == nil && n < size {
		to.err = fmt.Errorf("views: File: %q ended after %d of its %d bytes: %w", f.Name, n, size, io.ErrUnexpectedEOF)
	}
}

// seekable returns the file for http.ServeContent. A file of the operating system
// stays what it is, so that the kernel can send it.
func seekable(file fs.File) (io.ReadSeeker, bool) {
	if file, ok := file.(*os.File); ok {
		return file, true
	}
	seeker, ok := file.(io.ReadSeeker)
	if !ok {
		return nil, false
	}
	return seekingSource{source{Reader: seeker}, seeker}, true
}

// readError marks an error of the file, to tell it from one of the client.
type readError struct{ error }

func (e readError) Unwrap() error { return e.error }

type source struct{ io.Reader }

func (s source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = readError{err}
	}
	return n, err
}

type seekingSource struct {
	source
	io.Seeker
}

// fileWriter keeps the error that http.ServeContent has no way to return.
type fileWriter struct {
	*paced
	name string
	err  error
}

// ReadFrom is what io.Copy calls; it leaves the way to sendfile open.
func (w *fileWriter) ReadFrom(from io.Reader) (int64, error) {
	n, err := w.paced.ReadFrom(from)
	if err != nil && w.err == nil {
		_, byOS := errors.AsType[*fs.PathError](err)
		if _, byFS := errors.AsType[readError](err); byOS || byFS {
			w.err = fmt.Errorf("views: File: read %q: %w", w.name, err)
		} else {
			w.err = unsent(err)
		}
	}
	return n, err
}

func (w *fileWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func typeByName(name string) string {
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

package views_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/goquintet/quintet/views"
)

var fileTime = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

func files() fstest.MapFS {
	return fstest.MapFS{
		"css/site.css": {Data: []byte("body {}"), ModTime: fileTime},
		"page":         {Data: []byte("<!DOCTYPE html><p>"), ModTime: fileTime},
		"letters.txt":  {Data: []byte("abcdefghij"), ModTime: fileTime},
	}
}

func TestFile_Answers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file   views.File
		header http.Header
		status int
		body   string
		want   map[string]string
	}{
		// Django: responses.test_fileresponse.FileResponseTests (ST-040, ST-043, ST-046, ST-047)
		"a known type":   {views.File{Name: "css/site.css"}, nil, 200, "body {}", map[string]string{"Content-Type": "text/css; charset=utf-8", "Content-Length": "7", "Content-Disposition": ""}},
		"a guessed type": {views.File{Name: "page"}, nil, 200, "<!DOCTYPE html><p>", map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		"a given type":   {views.File{Name: "page", ContentType: "text/x"}, nil, 200, "<!DOCTYPE html><p>", map[string]string{"Content-Type": "text/x"}},
		"a header":       {views.File{Name: "page", Header: http.Header{"Cache-Control": {"private"}}}, nil, 200, "<!DOCTYPE html><p>", map[string]string{"Cache-Control": "private", "Last-Modified": "Tue, 03 Feb 2026 04:05:06 GMT"}},
		"an attachment":  {views.File{Name: "letters.txt", Attachment: "all letters.txt"}, nil, 200, "abcdefghij", map[string]string{"Content-Disposition": `attachment; filename="all letters.txt"`}},
		// Django: test_unicode_attachment (ST-055)
		"an attachment of any script": {views.File{Name: "letters.txt", Attachment: "prøve\n.txt"}, nil, 200, "abcdefghij", map[string]string{"Content-Disposition": `attachment; filename="pr_ve_.txt"; filename*=UTF-8''pr%C3%B8ve_.txt`}},
		"a range":                     {views.File{Name: "letters.txt"}, http.Header{"Range": {"bytes=2-4"}}, 206, "cde", map[string]string{"Content-Range": "bytes 2-4/10"}},
		"no such range":               {views.File{Name: "letters.txt"}, http.Header{"Range": {"bytes=99-"}}, 416, "invalid range: failed to overlap\n", nil},
		"several ranges":              {views.File{Name: "letters.txt", ContentType: "a/b"}, http.Header{"Range": {"bytes=0-0,9-9"}}, 206, "", nil},
		"not modified":                {views.File{Name: "letters.txt"}, http.Header{"If-Modified-Since": {fileTime.Format(http.TimeFormat)}}, 304, "", nil},
		"the same tag":                {views.File{Name: "letters.txt", Header: http.Header{"Etag": {`"1"`}}}, http.Header{"If-None-Match": {`"1"`}}, 304, "", nil},
		"a status":                    {views.File{Name: "page", Status: 404}, http.Header{"Range": {"bytes=0-1"}}, 404, "<!DOCTYPE html><p>", map[string]string{"Content-Type": "application/octet-stream", "Content-Length": "18"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.file.FS = files()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.Header = c.header
			recorder, err := respondTo(t, nil, c.file, r)
			if err != nil || recorder.Code != c.status || c.body != "" && recorder.Body.String() != c.body {
				t.Errorf("%d %q %v, want %d %q", recorder.Code, recorder.Body, err, c.status, c.body)
			}
			for name, want := range c.want {
				if got := recorder.Header().Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestFile_IsNotFound(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a"), []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"missing", "css", ".", "", "/page", "../page", "css/../page", "css/", "a/b"} {
		for _, folder := range []fs.FS{files(), os.DirFS(folder)} {
			recorder, err := respond(t, nil, views.File{FS: folder, Name: name})
			if !errors.Is(err, views.ErrNotFound) {
				t.Errorf("%q: %v, want ErrNotFound", name, err)
			}
			wantNothingSent(t, recorder)
		}
	}
}

// lockedFS has files that nobody may read.
type lockedFS struct{}

func (lockedFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func TestFile_RefusesAMistake(t *testing.T) {
	t.Parallel()
	for says, file := range map[string]views.File{
		"no FS":       {Name: "page"},
		"given twice": {Name: "page", FS: files(), ContentType: "a/b", Header: http.Header{"Content-Type": {"c/d"}}},
		"permission":  {Name: "page", FS: lockedFS{}},
	} {
		recorder, err := respond(t, nil, file)
		wantError(t, err, "views: File: ", says)
		if got := views.StatusOf(err); got != http.StatusInternalServerError {
			t.Errorf("%s: status %d", says, got)
		}
		wantNothingSent(t, recorder)
	}
}

// watched counts what happens to a file.
type watched struct {
	fs.FS
	closed  *int
	failAt  int64 // reads fail from here
	seeking bool
}

func (w watched) Open(name string) (fs.File, error) {
	file, err := w.FS.Open(name)
	if err != nil {
		return nil, err
	}
	plain := &watchedFile{File: file, fs: w}
	if w.seeking {
		return seekingFile{plain, file.(io.Seeker)}, nil
	}
	return plain, nil
}

type watchedFile struct {
	fs.File
	fs   watched
	read int64
}

func (f *watchedFile) Read(p []byte) (int, error) {
	if f.fs.failAt > 0 && f.read >= f.fs.failAt {
		return 0, errBroken
	}
	if f.fs.failAt > 0 && int64(len(p)) > f.fs.failAt-f.read {
		p = p[:f.fs.failAt-f.read]
	}
	n, err := f.File.Read(p)
	f.read += int64(n)
	return n, err
}

func (f *watchedFile) Close() error {
	*f.fs.closed++
	return f.File.Close()
}

type seekingFile struct {
	*watchedFile
	io.Seeker
}

// Django: httpwrappers.tests.FileCloseTests.test_response and
// test_streaming_response (ST-007, ST-008).
func TestFileClose_Response(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		for name, c := range map[string]struct {
			file  string
			write watched
		}{
			"seeking":         {"letters.txt", watched{FS: files(), seeking: true}},
			"not seeking":     {"letters.txt", watched{FS: files()}},
			"a directory":     {"css", watched{FS: files()}},
			"failing":         {"letters.txt", watched{FS: files(), failAt: 3}},
			"failing, seeker": {"letters.txt", watched{FS: files(), failAt: 3, seeking: true}},
		} {
			closed := 0
			c.write.closed = &closed
			recorder, err := respondTo(t, nil, views.File{FS: c.write, Name: c.file, ContentType: "a/b"}, httptest.NewRequestWithContext(t.Context(), method, "/", nil))
			if closed != 1 {
				t.Errorf("%s %s: closed %d times", method, name, closed)
			}
			if method == http.MethodGet && c.write.failAt > 0 {
				if !errors.Is(err, errBroken) || errors.Is(err, views.ErrClientGone) || recorder.Body.String() != "abc" {
					t.Errorf("%s: %q, %v, want the file's error", name, recorder.Body, err)
				}
			}
		}
	}
}

// cutFS has a file that is shorter than it says.
type cutFS struct{ fs.FS }

func (c cutFS) Open(name string) (fs.File, error) {
	file, err := c.FS.Open(name)
	return cutFile{file}, err
}

type cutFile struct{ fs.File }

func (c cutFile) Stat() (fs.FileInfo, error) {
	info, err := c.File.Stat()
	return cutInfo{info}, err
}

type cutInfo struct{ fs.FileInfo }

func (cutInfo) Size() int64 { return 99 }

func TestFile_ThatEndsEarlyIsAnError(t *testing.T) {
	t.Parallel()
	_, err := respond(t, nil, views.File{FS: cutFS{files()}, Name: "letters.txt"})
	wantError(t, err, "views: File: ", `"letters.txt"`, "10 of its 99 bytes")
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v is no io.ErrUnexpectedEOF", err)
	}
}

func TestFile_OfAnArchiveThatCannotSeek(t *testing.T) {
	t.Parallel()
	var archive bytes.Buffer
	writer := zip.NewWriter(&archive)
	file, err := writer.Create("letters.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(file, "abcdefghij")
	_ = writer.Close()
	folder, err := zip.NewReader(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
	if err != nil {
		t.Fatal(err)
	}
	recorder, err := respond(t, nil, views.File{FS: folder, Name: "letters.txt"})
	if h := recorder.Header(); err != nil || recorder.Body.String() != "abcdefghij" || h.Get("Content-Length") != "10" || !strings.HasPrefix(h.Get("Content-Type"), "text/plain") {
		t.Errorf("%q, %v, %v", recorder.Body, h, err)
	}
}

func TestFile_OfTheSystemGoesOutWhole(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	large := bytes.Repeat([]byte("0123456789"), 1<<18)
	if err := os.WriteFile(filepath.Join(folder, "large"), large, 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, &life{}, func(*views.Request) (views.Response, error) {
		return views.File{FS: os.DirFS(folder), Name: "large"}, nil
	})
	if got := body(t, s.get(t)); got != string(large) {
		t.Errorf("got %d bytes, want %d, and the same", len(got), len(large))
	}
	if end := <-s.over; end.err != nil {
		t.Errorf("ended with %v", end)
	}
	conn := s.dial(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if end := <-s.over; end.err != nil && !errors.Is(end.err, views.ErrClientGone) {
		t.Errorf("a client that left: %v", end)
	}
}

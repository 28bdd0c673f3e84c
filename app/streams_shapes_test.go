package app_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goquintet/quintet/views"
)

// source is what a shape streams: so many lines, and then what end does. A
// negative number goes on until it is refused.
type source struct {
	lines int
	end   func(ctx context.Context) error
}

const shapeLine = "2026-02-03 region 7 item 42"

// itemsOf are the items of a shape that takes errors.
func itemsOf[T any](ctx context.Context, s source, item func(string) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for i := 0; i != s.lines; i++ {
			if !yield(item(shapeLine), nil) {
				return
			}
		}
		if s.end != nil {
			if err := s.end(ctx); err != nil {
				var none T
				yield(none, err)
			}
		}
	}
}

// shape makes a response of a source.
type shape struct {
	name   string
	stream func(ctx context.Context, s source) views.StreamingResponse
	atOnce bool // sends its headers before there is a chunk
}

func itself(s string) string { return s + "\n" }

func shapes() []shape {
	type row struct{ Text string }
	body := func(make func(ctx context.Context, s source) iter.Seq2[[]byte, error]) func(context.Context, source) views.StreamingResponse {
		return func(ctx context.Context, s source) views.StreamingResponse {
			return views.StreamingResponse{Body: make(ctx, s)}
		}
	}
	return []shape{
		{"bytes", body(func(ctx context.Context, s source) iter.Seq2[[]byte, error] {
			return itemsOf(ctx, s, func(line string) []byte { return []byte(line + "\n") })
		}), false},
		{"bytes from another goroutine", body(func(ctx context.Context, s source) iter.Seq2[[]byte, error] {
			return elsewhere(itemsOf(ctx, s, func(line string) []byte { return []byte(line + "\n") }))
		}), false},
		{"Chunks", body(func(ctx context.Context, s source) iter.Seq2[[]byte, error] {
			var failure error
			chunks := views.Chunks(func(yield func(string) bool) {
				for line, err := range itemsOf(ctx, s, itself) {
					if failure = err; err != nil || !yield(line) {
						return
					}
				}
			})
			return func(yield func([]byte, error) bool) { // a source that cannot fail, in a test that wants it to
				for chunk, err := range chunks {
					if !yield(chunk, err) {
						return
					}
				}
				if failure != nil {
					yield(nil, failure)
				}
			}
		}), false},
		{"JSONLines", body(func(ctx context.Context, s source) iter.Seq2[[]byte, error] {
			return views.JSONLines(itemsOf(ctx, s, func(line string) row { return row{line} }))
		}), false},
		{"CSV", body(func(ctx context.Context, s source) iter.Seq2[[]byte, error] {
			return views.CSV(itemsOf(ctx, s, func(line string) row { return row{line} }))
		}), false},
		{"CSVWith", body(func(ctx context.Context, s source) iter.Seq2[[]byte, error] {
			return views.CSVWith(views.CSVOptions{FormulaSafe: true, CRLF: true, NoHeader: true}, itemsOf(ctx, s, func(line string) []string { return []string{"=1+1", line} }))
		}), false},
		{"Write with encoding/csv", body(writing(func(w io.Writer, line string) error {
			to := csv.NewWriter(w)
			_ = to.Write([]string{line}) // Error tells
			to.Flush()
			return to.Error()
		})), false},
		{"Write with archive/zip", body(func(ctx context.Context, s source) iter.Seq2[[]byte, error] {
			return views.Write(func(_ context.Context, w io.Writer) error {
				archive := zip.NewWriter(w)
				file, err := archive.CreateHeader(&zip.FileHeader{Name: "lines.txt", Method: zip.Store})
				if err != nil {
					return err
				}
				if err := writeLines(ctx, file, s, func(w io.Writer, line string) error {
					if _, err := io.WriteString(w, line+"\n"); err != nil {
						return err
					}
					return archive.Flush()
				}); err != nil {
					return err
				}
				return archive.Close()
			})
		}), false},
		{"Events", func(ctx context.Context, s source) views.StreamingResponse {
			return views.Events(itemsOf(ctx, s, func(line string) views.Event[string] { return views.Event[string]{ID: "1", Data: line} }))
		}, true},
	}
}

// writing is a body that somebody else's encoder writes.
func writing(write func(w io.Writer, line string) error) func(context.Context, source) iter.Seq2[[]byte, error] {
	return func(ctx context.Context, s source) iter.Seq2[[]byte, error] {
		return views.Write(func(_ context.Context, w io.Writer) error { return writeLines(ctx, w, s, write) })
	}
}

func writeLines(ctx context.Context, w io.Writer, s source, write func(io.Writer, string) error) error {
	for line, err := range itemsOf(ctx, s, func(line string) string { return line }) {
		if err == nil {
			err = write(w, line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// elsewhere yields from another goroutine, which ends with the sequence.
func elsewhere(seq iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		panicked := make(chan any)
		go func() {
			defer func() { panicked <- recover() }()
			seq(yield)
		}()
		if v := <-panicked; v != nil {
			panic(v)
		}
	}
}

// Files are no streams, and end in the same ways.
func largeFiles(t *testing.T) map[string]fs.FS {
	t.Helper()
	folder, content := t.TempDir(), bytes.Repeat([]byte(shapeLine+"\n"), fileLines)
	if err := os.WriteFile(filepath.Join(folder, "lines.txt"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	inMemory := fstest.MapFS{"lines.txt": {Data: content}}
	return map[string]fs.FS{"of the system": os.DirFS(folder), "of an fs.FS": inMemory, "that cannot seek": unseekable{inMemory}}
}

const fileLines = 1 << 18 // more than the buffers of a connection hold

// unseekable is a file system as an archive is one: its files only read.
type unseekable struct{ fs.FS }

func (u unseekable) Open(name string) (fs.File, error) {
	file, err := u.FS.Open(name)
	return struct{ fs.File }{file}, err
}

// wholeLines is how many lines arrived whole, in whatever shape.
func wholeLines(body string) int { return strings.Count(body, shapeLine) }

package views_test

import (
	"bufio"
	"bytes"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/goquintet/quintet/views"
)

// download is one shape of a body, made by a stream or by bare net/http.
type download struct {
	name  string
	chunk []byte
	n     int
}

func downloads() []download {
	return []download{
		{"1000000 short lines", []byte("2026-02-03,region 7,item 42,19.99\n"), 1_000_000},
		{"10000 short lines", []byte("2026-02-03,region 7,item 42,19.99\n"), 10_000},
		{"1000 chunks of 32 KiB", bytes.Repeat([]byte("x"), 32<<10), 1000},
	}
}

func BenchmarkStreamingResponse(b *testing.B) {
	for _, d := range downloads() {
		b.Run(d.name, func(b *testing.B) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				response := views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
					for range d.n {
						if !yield(d.chunk, nil) {
							return
						}
					}
				}}
				if err := response.Respond(w, views.NewRequest(r, nil)); err != nil {
					b.Error(err)
				}
			}
			transfer(b, d, handler)
		})
	}
}

// BenchmarkNetHTTP is the same without this package: what it is measured against.
// It holds 32 KiB back for as long as it likes.
func BenchmarkNetHTTP(b *testing.B) {
	for _, d := range downloads() {
		b.Run(d.name, func(b *testing.B) {
			handler := func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain; charset=utf-8")
				buffered := bufio.NewWriterSize(w, 32<<10)
				for range d.n {
					if _, err := buffered.Write(d.chunk); err != nil {
						b.Error(err)
					}
				}
				if err := buffered.Flush(); err != nil {
					b.Error(err)
				}
			}
			transfer(b, d, handler)
		})
	}
}

func transfer(b *testing.B, d download, handler http.HandlerFunc) {
	b.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	size := int64(len(d.chunk) * d.n)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		response, err := server.Client().Get(server.URL)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if err != nil || n != size {
			b.Fatalf("%d bytes, %v", n, err)
		}
	}
}

// discard is a response writer that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkYield is the way of one short chunk, without a server.
func BenchmarkYield(b *testing.B) {
	line := []byte("2026-02-03,region 7,item 42,19.99\n")
	b.ReportAllocs()
	response := views.StreamingResponse{Body: func(yield func([]byte, error) bool) {
		for b.Loop() {
			yield(line, nil)
		}
	}}
	_ = response.Respond(discard{make(http.Header)}, views.NewRequest(httptest.NewRequest(http.MethodGet, "/", nil), nil))
}

func BenchmarkCSV(b *testing.B) {
	row := &sale{ID: 1, Item: "item"}
	b.ReportAllocs()
	for range views.CSV(func(yield func(*sale, error) bool) {
		for b.Loop() {
			yield(row, nil)
		}
	}) {
		continue
	}
}

func BenchmarkTemplate(b *testing.B) {
	templates := pages(b, layouts, views.TemplateOptions{Funcs: template.FuncMap{"url": (*views.Request).Reverse}})
	request := views.NewRequest(httptest.NewRequest(http.MethodGet, "/", nil), &life{templates: templates})
	b.ReportAllocs()
	for b.Loop() {
		if err := (views.Template{Name: "a.html", Data: "x"}).Respond(discard{make(http.Header)}, request); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkText(b *testing.B) {
	request := views.NewRequest(httptest.NewRequest(http.MethodGet, "/", nil), nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := (views.Text{Body: "hello"}).Respond(discard{make(http.Header)}, request); err != nil {
			b.Fatal(err)
		}
	}
}

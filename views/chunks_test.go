package views_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/goquintet/quintet/views"
)

// collect ranges over a body without a response.
func collect(t testing.TB, body iter.Seq2[[]byte, error]) (parts []string, err error) {
	t.Helper()
	for chunk, err := range body {
		if err != nil {
			return parts, err
		}
		if len(chunk) > 0 {
			parts = append(parts, string(chunk))
		}
	}
	return parts, nil
}

func TestChunks_AreStringsOrBytes(t *testing.T) {
	t.Parallel()
	type line string
	for name, body := range map[string]iter.Seq2[[]byte, error]{
		"strings": views.Chunks(slices.Values([]string{"a", "bc"})),
		"bytes":   views.Chunks(slices.Values([][]byte{[]byte("a"), []byte("bc")})),
		"named":   views.Chunks(slices.Values([]line{"a", "bc"})),
		"raw":     views.Chunks(slices.Values([]json.RawMessage{json.RawMessage("a"), json.RawMessage("bc")})),
	} {
		if got, err := collect(t, body); err != nil || !slices.Equal(got, []string{"a", "bc"}) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestChunks_StopWithTheStream(t *testing.T) {
	t.Parallel()
	n := 0
	for range views.Chunks(func(yield func(string) bool) {
		for yield("x") {
			n++
		}
	}) {
		break
	}
	if n != 0 {
		t.Errorf("the source went on for %d", n)
	}
}

type key struct{}

func TestWrite_GetsTheContextOfTheRequest(t *testing.T) {
	t.Parallel()
	ctx := context.WithValue(t.Context(), key{}, "the request's")
	inner := views.Write(func(ctx context.Context, w io.Writer) error {
		_, err := fmt.Fprint(w, ctx.Value(key{}))
		return err
	})
	for name, body := range map[string]iter.Seq2[[]byte, error]{
		"directly": inner,
		"after other chunks": func(yield func([]byte, error) bool) {
			yield(nil, nil)
			inner(yield)
		},
		"through a loop that passes everything on": func(yield func([]byte, error) bool) {
			for chunk, err := range inner {
				if !yield(chunk, err) || err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recorder, err := respondTo(t, nil, views.StreamingResponse{Body: body}, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
			if got := recorder.Body.String(); err != nil || got != "the request's" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestWrite_MayNeverRun(t *testing.T) {
	t.Parallel()
	for range views.Write(func(context.Context, io.Writer) error {
		t.Error("it ran although the loop had ended")
		return nil
	}) {
		break
	}
}

func TestWrite_ElsewhereHasABackgroundContextAndNeverAnothers(t *testing.T) {
	t.Parallel()
	body := views.Write(func(ctx context.Context, w io.Writer) error {
		_, err := fmt.Fprint(w, ctx.Value(key{}), ctx.Err())
		return err
	})
	if got, err := collect(t, body); err != nil || !slices.Equal(got, []string{"<nil> <nil>"}) {
		t.Errorf("ranged over by hand: %q, %v", got, err)
	}
	copying := func(yield func([]byte, error) bool) {
		for chunk, err := range body {
			memory := append(make([]byte, 0, cap(chunk)), chunk[:cap(chunk)]...)
			if !yield(memory[:len(chunk)], err) {
				return
			}
		}
	}
	request := httptest.NewRequestWithContext(context.WithValue(t.Context(), key{}, "the request's"), http.MethodGet, "/", nil)
	recorder, err := respondTo(t, nil, views.StreamingResponse{Body: copying}, request)
	if got := recorder.Body.String(); err != nil || got != "<nil> <nil>" {
		t.Errorf("through copies of all memory: %q, %v", got, err)
	}
}

func TestWrite_EndsItsContextAndItsWriterWithTheStream(t *testing.T) {
	t.Parallel()
	var kept context.Context
	var writer io.Writer
	for _, err := range views.Write(func(ctx context.Context, w io.Writer) error {
		kept, writer = ctx, w //nolint:fatcontext // to look at it afterwards
		if n, err := w.Write(nil); n != 0 || err != nil {
			t.Errorf("an empty write: %d, %v", n, err)
		}
		for range 2 {
			if n, err := io.WriteString(w, "refused"); n != 0 || !errors.Is(err, views.ErrClientGone) {
				t.Errorf("a refused write: %d, %v", n, err)
			}
		}
		if ctx.Err() == nil {
			t.Error("the context goes on after a refused write")
		}
		return nil
	}) {
		if err != nil {
			t.Error(err)
		}
		if kept != nil {
			break // at the first write; the chunk before it is empty
		}
	}
	if _, err := writer.Write([]byte("x")); err == nil {
		t.Error("the writer writes after the function has returned")
	}
	if got, err := collect(t, views.Write(func(ctx context.Context, w io.Writer) error {
		kept, writer = ctx, w //nolint:fatcontext // to look at it afterwards
		return nil
	})); got != nil || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := writer.Write([]byte("x")); err == nil || errors.Is(err, views.ErrClientGone) || kept.Err() == nil {
		t.Errorf("after the end: %v, context %v", err, kept.Err())
	}
}

func TestWrite_ItsErrorIsTheFailureOfTheStream(t *testing.T) {
	t.Parallel()
	got, err := collect(t, views.Write(func(_ context.Context, w io.Writer) error {
		_, _ = io.WriteString(w, "a")
		return errBroken
	}))
	if !errors.Is(err, errBroken) || !slices.Equal(got, []string{"a"}) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWrite_AnErrorAfterTheEndIsNotLost(t *testing.T) {
	t.Parallel()
	errClean, held := errors.New("the clean-up failed"), errors.New("rows are open")
	for name, c := range map[string]struct{ returned, want error }{
		"another error":   {errClean, errClean},
		"what Write said": {fmt.Errorf("zip: %w", views.ErrClientGone), nil},
		"what ctx said":   {context.Canceled, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &life{heldErr: func() error { return held }}
			_, err := respond(t, l, views.StreamingResponse{Body: views.Write(func(_ context.Context, w io.Writer) error {
				_, _ = io.WriteString(w, "a")
				return c.returned
			})})
			if !errors.Is(err, held) || c.want != nil && !errors.Is(err, c.want) || c.want == nil && errors.Is(err, c.returned) {
				t.Errorf("error %v, want %v and %v", err, held, c.want)
			}
		})
	}
}

func TestWrite_ServesEncodersAndArchives(t *testing.T) {
	t.Parallel()
	s := stream(t, &life{}, views.StreamingResponse{
		ContentType: "application/zip",
		Body: views.Write(func(_ context.Context, w io.Writer) error {
			archive := zip.NewWriter(w)
			for _, name := range []string{"a.txt", "b.txt"} {
				file, err := archive.Create(name)
				if err != nil {
					return err
				}
				if _, err := io.WriteString(file, "this is "+name); err != nil {
					return err
				}
			}
			return archive.Close()
		}),
	})
	text := body(t, s.get(t))
	archive, err := zip.NewReader(bytes.NewReader([]byte(text)), int64(len(text)))
	if err != nil || len(archive.File) != 2 {
		t.Fatalf("%v, %v", archive, err)
	}
}

package app

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// GZip is a middleware that compresses what is worth it, for clients that understand
// gzip. Django's GZipMiddleware:
//
//	Middleware: []func(http.Handler) http.Handler{app.GZip},
//
// Text, JSON, XML and their like are compressed from 200 bytes on. Left alone are
// server-sent events, types that are compressed already, ranges, answers to HEAD,
// answers with a Content-Encoding of their own, and those that say Cache-Control:
// no-transform. What may be compressed says Vary: Accept-Encoding, also when it is
// not; what is compressed has a weak ETag and no ranges.
//
// A stream stays one: each flush reaches the client, an answer that is broken off is
// a broken one, and a compressed stream that is silent holds no memory for it. The
// connections of the request go home before the first byte, as without it.
//
// A page that shows a secret beside what the client has sent can give the secret away
// by its compressed length (BREACH). As Django does, each answer gets up to a hundred
// bytes that mean nothing, which makes that slower, and not impossible: an answer with
// such a secret says Cache-Control: no-transform.
//
// A proxy may compress instead: nginx leaves to gzip_types what that is.
func GZip(next http.Handler) http.Handler {
	g := &gzips{whole: sync.Pool{New: func() any { return gzip.NewWriter(nil) }}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z := &gzipWriter{ResponseWriter: w, gzips: g, request: r}
		// Not when the handler panics: what it has not sent must not look whole.
		finished := false
		defer func() {
			if finished {
				z.end()
			}
			z.release()
		}()
		next.ServeHTTP(z, r)
		finished = true
	})
}

const (
	gzipMinimum = 200      // bytes; shorter ones get no shorter
	gzipJitter  = 100      // bytes, at most
	gzipChunk   = 32 << 10 // of a stream, collected until it is flushed
)

// gzips are the compressors of a middleware, which are large.
type gzips struct{ whole sync.Pool }

// gzipWriter is what the handler writes to. It has no Unwrap, because that would be a
// way around it.
type gzipWriter struct {
	http.ResponseWriter
	gzips   *gzips
	request *http.Request
	status  int    // zero until the handler has said it
	decided bool   // the headers are sent
	held    []byte // not compressed yet, or before the decision
	zip     *gzip.Writer
	stream  bool // zip keeps nothing between two writes
}

var (
	_ http.Flusher    = (*gzipWriter)(nil)
	_ http.Hijacker   = (*gzipWriter)(nil)
	_ io.ReaderFrom   = (*gzipWriter)(nil)
	_ io.StringWriter = (*gzipWriter)(nil)
)

// WriteHeader sends what will not be compressed at once. The rest waits for its first
// bytes.
func (z *gzipWriter) WriteHeader(status int) {
	if z.decided || isInformational(status) {
		z.ResponseWriter.WriteHeader(status)
		return
	}
	if z.status != 0 {
		return
	}
	z.status = status
	if z.Header().Get("Content-Type") != "" && !z.compressible() {
		z.plain()
	}
}

func (z *gzipWriter) Write(p []byte) (int, error) {
	if z.status == 0 {
		z.WriteHeader(http.StatusOK)
	}
	if !z.decided {
		if len(z.held)+len(p) < gzipMinimum {
			z.held = append(z.held, p...)
			return len(p), nil
		}
		z.decide(p)
	}
	switch {
	case z.zip == nil:
		return z.ResponseWriter.Write(p)
	case z.stream && len(z.held)+len(p) < gzipChunk:
		z.held = append(z.held, p...)
		return len(p), nil
	}
	if err := z.compressHeld(); err != nil {
		return 0, err
	}
	return z.zip.Write(p)
}

func (z *gzipWriter) WriteString(s string) (int, error) { return z.Write([]byte(s)) }

// ReadFrom leaves it to the kernel to send a file that is not compressed.
func (z *gzipWriter) ReadFrom(from io.Reader) (int64, error) {
	if z.decided && z.zip == nil {
		return io.Copy(z.ResponseWriter, from)
	}
	return io.Copy(struct{ io.Writer }{z}, from)
}

func (z *gzipWriter) Flush() { _ = z.FlushError() } // http.Flusher has no error

func (z *gzipWriter) FlushError() error {
	if z.status == 0 {
		z.WriteHeader(http.StatusOK)
	}
	if !z.decided {
		z.stream = true
		z.decide(nil)
	}
	if z.zip != nil {
		if err := errors.Join(z.compressHeld(), z.zip.Flush()); err != nil {
			return err
		}
	}
	return z.controller().Flush()
}

func (z *gzipWriter) controller() *http.ResponseController {
	return http.NewResponseController(z.ResponseWriter)
}

func (z *gzipWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return z.controller().Hijack() }

func (z *gzipWriter) SetReadDeadline(t time.Time) error { return z.controller().SetReadDeadline(t) }

func (z *gzipWriter) SetWriteDeadline(t time.Time) error { return z.controller().SetWriteDeadline(t) }

func (z *gzipWriter) EnableFullDuplex() error { return z.controller().EnableFullDuplex() }

// decide sends the headers, knowing how the body begins: with what is held, and p.
func (z *gzipWriter) decide(p []byte) {
	header := z.Header()
	if _, said := header["Content-Type"]; !said && len(z.held)+len(p) > 0 {
		// net/http would look at compressed bytes.
		header.Set("Content-Type", http.DetectContentType(append(z.held[:len(z.held):len(z.held)], p...)))
	}
	if !z.compressible() || !acceptsGZip(z.request) || z.request.Method == http.MethodHead {
		z.plain()
		return
	}
	varyByEncoding(header)
	header.Set("Content-Encoding", "gzip")
	header.Del("Content-Length")
	header.Del("Accept-Ranges")
	if tag := header.Get("Etag"); tag != "" {
		header.Set("Etag", weak(tag))
	}
	z.decided = true
	z.ResponseWriter.WriteHeader(z.status)
	// views say of their streams that nobody should wait for more.
	z.stream = z.stream || header.Get("X-Accel-Buffering") == "no"
	if z.stream {
		// A compressor remembers what it has seen, in half a megabyte: too much for
		// each of thousands of streams.
		z.zip, _ = gzip.NewWriterLevel(z.ResponseWriter, gzip.StatelessCompression) // a level that there is
	} else {
		z.zip = z.gzips.whole.Get().(*gzip.Writer)
		z.zip.Reset(z.ResponseWriter)
	}
	z.zip.Name = strings.Repeat("a", rand.IntN(gzipJitter+1))
}

// plain sends the headers of an answer that is not compressed, and what is held.
func (z *gzipWriter) plain() {
	header := z.Header()
	switch {
	case z.status == http.StatusNotModified:
		varyByEncoding(header)
		// The client has a compressed one, and is told that it is the same.
		if tag := header.Get("Etag"); tag != "" && strings.Contains(z.request.Header.Get("If-None-Match"), weak(tag)) {
			header.Set("Etag", weak(tag))
		}
	case z.compressible():
		varyByEncoding(header)
	}
	z.decided = true
	z.ResponseWriter.WriteHeader(z.status)
	if held := z.held; len(held) > 0 {
		z.held = nil
		_, _ = z.ResponseWriter.Write(held) // the next write fails as well
	}
}

// compressHeld compresses what is held, and holds no memory afterwards.
func (z *gzipWriter) compressHeld() error {
	held := z.held
	if len(held) == 0 {
		return nil
	}
	z.held = nil
	_, err := z.zip.Write(held)
	return err
}

// end ends an answer that its handler has finished. What fails here has no handler to
// be told: the answer is short of its end, and its client sees that.
func (z *gzipWriter) end() {
	switch {
	case z.status == 0: // net/http answers
	case !z.decided:
		z.plain()
	case z.zip != nil:
		_ = errors.Join(z.compressHeld(), z.zip.Close())
	}
}

// release gives the compressor back.
func (z *gzipWriter) release() {
	if z.zip != nil && !z.stream {
		z.zip.Reset(nil)
		z.gzips.whole.Put(z.zip)
	}
	z.zip = nil
}

// compressible reports whether the answer may be compressed for who understands it.
func (z *gzipWriter) compressible() bool {
	header := z.Header()
	switch {
	case z.status < 200, z.status == http.StatusNoContent, z.status == http.StatusNotModified, z.status == http.StatusPartialContent:
		return false
	case header.Get("Content-Encoding") != "", header.Get("Content-Range") != "", header.Get("Transfer-Encoding") != "":
		return false
	case hasToken(header["Cache-Control"], "no-transform"):
		return false
	}
	if length, err := strconv.Atoi(header.Get("Content-Length")); err == nil && length < gzipMinimum {
		return false
	}
	return compressibleType(header.Get("Content-Type"))
}

// compressibleType reports whether a type is worth it. Types that nobody has thought of
// may be compressed already.
func compressibleType(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch media {
	case "text/event-stream":
		return false
	case "application/json", "application/x-ndjson", "application/jsonl", "application/xml", "application/javascript",
		"application/x-javascript", "application/wasm", "application/rtf", "application/sql", "application/x-tar",
		"application/yaml", "application/toml", "application/vnd.ms-fontobject", "font/ttf", "font/otf",
		"image/bmp", "image/x-icon", "image/vnd.microsoft.icon":
		return true
	}
	return strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml")
}

// acceptsGZip knows what RFC 9110 says of Accept-Encoding.
func acceptsGZip(r *http.Request) bool {
	star := false
	for _, value := range r.Header["Accept-Encoding"] {
		for item := range strings.SplitSeq(value, ",") {
			coding, parameter, _ := strings.Cut(item, ";")
			_, weight, _ := strings.Cut(parameter, "=")
			q, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
			accepted := err != nil || q > 0
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip", "x-gzip":
				return accepted
			case "*":
				star = accepted
			}
		}
	}
	return star
}

func varyByEncoding(header http.Header) {
	if !hasToken(header["Vary"], "Accept-Encoding") && !hasToken(header["Vary"], "*") {
		header.Add("Vary", "Accept-Encoding")
	}
}

// hasToken reports whether a header's comma-separated values have a token.
func hasToken(values []string, token string) bool {
	for _, value := range values {
		for one := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(one), token) {
				return true
			}
		}
	}
	return false
}

// weak is the tag of an answer that has the same meaning in other bytes.
func weak(tag string) string {
	if strings.HasPrefix(tag, "W/") {
		return tag
	}
	return "W/" + tag
}

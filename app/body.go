package app

import (
	"io"
	"net/http"
)

// What a body may have before it is not waited for any more with a connection in
// hand: less than that has usually arrived with the headers.
const freeBody = 64 << 10

// body is the body of a request: bounded by MAX_BODY, and not waited for while
// the request holds a database connection.
type body struct {
	io.ReadCloser
	request *request
	limited io.Reader // made by the first Read
	read    int64
}

func (b *body) Read(p []byte) (int, error) {
	if b.limited == nil {
		b.limited = b.ReadCloser
		if limit := b.request.site.settings.MaxBody; limit >= 0 {
			b.limited = http.MaxBytesReader(b.request.writer.ResponseWriter, b.ReadCloser, limit)
		}
	}
	if b.read >= freeBody || b.read == 0 && b.request.http.Header["Expect"] != nil {
		b.request.scope.ReleaseIdle()
	}
	n, err := b.limited.Read(p)
	b.read += int64(n)
	return n, err
}

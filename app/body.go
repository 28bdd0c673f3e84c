package app

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/goquintet/quintet/views"
)

// What a body may have before it is not waited for any more with a connection in
// hand: less than that has usually arrived with the headers.
const freeBody = 64 << 10

// body is the body of a request: bounded by MAX_BODY, and not waited for while
// the request holds a database connection. When the client does not send it to its
// end, reading it fails with [views.ErrClientGone].
type body struct {
	io.ReadCloser
	request *request
	read    int64
	err     error // of reading, for good
}

// Read does what http.MaxBytesReader does, but leaves the response alone: a stream
// may answer while another goroutine drops the rest of the body.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if b.read >= freeBody || b.read == 0 && b.request.http.Header["Expect"] != nil {
		b.request.scope.ReleaseIdle()
	}
	limit := b.request.site.settings.MaxBody
	left := limit - b.read
	if limit >= 0 && int64(len(p)) > left+1 {
		p = p[:left+1] // one more tells whether there is more
	}
	n, err := b.ReadCloser.Read(p)
	if limit >= 0 && int64(n) > left {
		n, err = int(left), &http.MaxBytesError{Limit: limit}
	}
	b.read += int64(n)
	b.err = broken(err)
	return n, b.err
}

// broken tells a client that did not send what it had announced from a mistake of
// the site.
func broken(err error) error {
	if err == nil || err == io.EOF || errors.Is(err, http.ErrBodyReadAfterClose) { //nolint:errorlint // readers compare io.EOF
		return err
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return fmt.Errorf("%w: %w", views.ErrClientGone, err)
}

package views

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// What is read at most of a body that the view did not want.
const (
	dropSize = 256 << 10
	dropTime = time.Second
)

// upload is the body of the request while the stream answers.
type upload struct {
	control *http.ResponseController
	request *http.Request
	rest    bool // some of it may be unread
}

// drop reads the rest of the body and forgets it. net/http sees a client leave
// only after the body has been read, and would otherwise wait for the rest in
// front of the first byte of the answer. When there is too much of it, or it is
// too slow, the rest stays unread: the connection ends with the response, and the
// next write is what notices that the client has gone. HTTP/2 needs none of this.
func (u *upload) drop(w http.ResponseWriter) {
	body := u.request.Body
	if body == nil || body == http.NoBody || u.request.ProtoMajor > 1 {
		return
	}
	_ = u.control.SetReadDeadline(time.Now().Add(dropTime)) // unsupported: the body is not on a wire
	_, err := io.CopyN(io.Discard, body, dropSize+1)
	_ = u.control.SetReadDeadline(time.Time{})
	if errors.Is(err, io.EOF) || errors.Is(err, http.ErrBodyReadAfterClose) {
		return
	}
	u.rest = true
	w.Header().Set("Connection", "close")
	_ = u.control.EnableFullDuplex() // do not wait for the rest; unsupported: then wait
}

// keep lets the generator read the body while it writes.
func (u *upload) keep() error {
	if err := u.control.EnableFullDuplex(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("views: StreamingResponse: ReadsBody: %w", err)
	}
	return nil
}

// end bounds what the server does about the rest: it reads on for a while, so
// that a client that is still sending gets to read the answer.
func (u *upload) end() {
	if u.rest {
		_ = u.control.SetReadDeadline(time.Now().Add(dropTime))
	}
}

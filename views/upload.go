package views

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// How much of a body that the view left is read, and how long the generator
// waits for that, and net/http afterwards.
const (
	dropSize = 256 << 10
	dropTime = time.Second
)

// upload is the body of the request while a stream answers. It matters on
// HTTP/1 only, where net/http sees a client leave once the body has been read to
// its end, and otherwise reads the rest of it in front of the first byte of the
// answer.
type upload struct {
	body    io.ReadCloser
	control *http.ResponseController
	dropped chan struct{} // closed when no more is dropped, nil when nothing is
	err     error         // of dropping: io.EOF when nothing is left; read after dropped
	rest    bool          // the connection ends with the response
}

// receive readies the body for a stream that answers it: drops it, or leaves it
// to the generator.
func receive(w http.ResponseWriter, r *Request, readsBody bool) *upload {
	u := &upload{body: r.Body, control: http.NewResponseController(w)}
	if r.ProtoMajor > 1 || r.Body == nil || r.Body == http.NoBody {
		return u
	}
	u.rest = readsBody || !u.drop()
	if u.rest {
		// What has not been read when the answer begins may never be, and must
		// not be taken for the next request.
		w.Header().Set("Connection", "close")
		// Where it is not supported, net/http waits for the rest after all.
		_ = u.control.EnableFullDuplex()
	}
	return u
}

// drop reads the body and forgets it, and reports whether all of it has come. A
// slow one is dropped on while the stream answers: a read deadline would be
// simpler, but one that passes cancels the request.
func (u *upload) drop() (all bool) {
	u.dropped = make(chan struct{})
	go func() {
		defer close(u.dropped)
		_, u.err = io.CopyN(io.Discard, u.body, dropSize+1)
	}()
	timer := time.NewTimer(dropTime)
	defer timer.Stop()
	select {
	case <-u.dropped:
		return errors.Is(u.err, io.EOF) || errors.Is(u.err, http.ErrBodyReadAfterClose)
	case <-timer.C:
		return false
	}
}

// end stops waiting for what the client has not sent. When it returns, nobody
// reads the body.
func (u *upload) end() {
	if !u.rest {
		return
	}
	if u.dropped != nil {
		u.interrupt()
	}
	// net/http reads on for a while, so that a client that is still sending gets
	// to read the answer.
	_ = u.control.SetReadDeadline(time.Now().Add(dropTime))
}

func (u *upload) interrupt() {
	select {
	case <-u.dropped:
		return
	default:
	}
	if err := u.control.SetReadDeadline(time.Now()); err != nil {
		_ = u.body.Close() // it does not come from a connection
	}
	<-u.dropped
}

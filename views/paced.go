package views

import (
	"cmp"
	"io"
	"net/http"
	"time"
)

// pieceSize is how much of an answer a client has to take within the timeout of a
// write. An answer that is not larger is left to the buffers of the kernel.
const pieceSize = 128 << 10

// paced writes an answer that is no stream piece by piece, each with a deadline of
// its own: whoever reads slowly gets all of it, and whoever has stopped reading does
// not keep a goroutine and a file for ever.
type paced struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	armed   time.Time
}

func pace(w http.ResponseWriter, r *Request) *paced {
	timeout := cmp.Or(r.cycle.StreamSettings().WriteTimeout, writeTimeout)
	return &paced{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout}
}

// arm gives the next piece its deadline. The server takes the last one away before
// the next request of the connection.
func (p *paced) arm() {
	now := time.Now()
	if now.Sub(p.armed) < p.timeout/32 {
		return
	}
	p.armed = now
	_ = p.control.SetWriteDeadline(now.Add(p.timeout)) // unsupported: there is none
}

func (p *paced) Write(b []byte) (n int, err error) {
	for len(b) > pieceSize && err == nil {
		n += pieceSize
		p.arm()
		_, err = p.ResponseWriter.Write(b[:pieceSize])
		b = b[pieceSize:]
	}
	if err != nil {
		return n, err
	}
	p.arm()
	last, err := p.ResponseWriter.Write(b)
	return n + last, err
}

func (p *paced) WriteString(s string) (n int, err error) {
	for len(s) > pieceSize && err == nil {
		n += pieceSize
		p.arm()
		_, err = io.WriteString(p.ResponseWriter, s[:pieceSize])
		s = s[pieceSize:]
	}
	if err != nil {
		return n, err
	}
	p.arm()
	last, err := io.WriteString(p.ResponseWriter, s)
	return n + last, err
}

// ReadFrom leaves the way to sendfile open, for each piece.
func (p *paced) ReadFrom(from io.Reader) (n int64, err error) {
	left := int64(-1)
	if limited, ok := from.(*io.LimitedReader); ok { // the kernel sees a file through one of them, not through two
		from, left = limited.R, limited.N
		defer func() { limited.N -= n }()
	}
	for left != 0 {
		piece := int64(pieceSize)
		if left > 0 {
			piece = min(piece, left)
		}
		p.arm()
		m, err := io.Copy(p.ResponseWriter, &io.LimitedReader{R: from, N: piece})
		if n += m; err != nil || m < piece {
			return n, err
		}
		if left > 0 {
			left -= m
		}
	}
	return n, nil
}

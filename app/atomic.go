package app

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/views"
)

// NonAtomic takes ATOMIC_REQUESTS from a route, or from all of a group: for the given
// aliases, or without any for all. Django's non_atomic_requests.
func NonAtomic(aliases ...string) RouteOption {
	return func(r *route) {
		r.nonAtomic = append(r.nonAtomic, aliases...)
		r.neverAtomic = r.neverAtomic || len(aliases) == 0
	}
}

// RollbackOn5xx rolls the blocks of ATOMIC_REQUESTS back when the view returns a
// response with a status from 500 on. Without it such a response commits, as in
// Django: what a view returns, and is no error, was meant.
func RollbackOn5xx() RouteOption { return func(r *route) { r.rollback5xx = true } }

// checkAliases reports those that NonAtomic was given and that do not exist.
func (r *route) checkAliases(s *Site) bool {
	for _, alias := range r.nonAtomic {
		if _, ok := s.connections.Settings(alias); !ok {
			s.wrong(r.what(), r.Place, "NonAtomic names the alias \""+alias+"\", which DATABASES does not have", "")
			return false
		}
	}
	return true
}

// atomic opens the blocks of ATOMIC_REQUESTS for a view, and returns the request
// that is in them. A view that is reached through a wrapped handler joins its blocks;
// a route without them leaves those that have not begun.
func (q *request) atomic(r *http.Request, route *route) (*http.Request, error) {
	if q.blocks.Load().Open() {
		if q.blocks.Load().Begun() || !route.neverAtomic {
			return r, nil
		}
		if err := q.commit(); err != nil {
			return nil, err
		}
	}
	if route.neverAtomic {
		return r, nil
	}
	ctx, blocks, err := q.scope.AtomicRequests(r.Context(), db.AtomicRequestsOptions{
		Except: route.nonAtomic, Deferred: r.Method == http.MethodGet || r.Method == http.MethodHead,
	})
	if err != nil || blocks == nil {
		return r, err
	}
	q.blocks.Store(blocks)
	return r.WithContext(ctx), nil
}

// commit commits the blocks of ATOMIC_REQUESTS. That something has failed after the
// commit is told, and changes nothing about the response.
func (q *request) commit() error {
	err := q.blocks.Load().Commit()
	if errors.Is(err, db.ErrOnCommit) {
		q.fail(err)
		return nil
	}
	return err
}

// rollBack rolls them back for err, which it returns with what there is to say
// besides.
func (q *request) rollBack(err error) error {
	if left := q.blocks.Load().Rollback(); left != nil {
		return errors.Join(err, left)
	}
	return err
}

// abandon is deferred around a handler: a panic leaves blocks open.
func (q *request) abandon() {
	if err := q.blocks.Load().Rollback(); err != nil {
		q.note(err)
	}
}

// respond sends the response of a view, within its blocks while it is rendered.
func (q *request) respond(w http.ResponseWriter, response views.Response, r *views.Request, rollback5xx bool) error {
	if !q.blocks.Load().Open() {
		return response.Respond(w, r)
	}
	c := newCommitting(w, q, rollback5xx)
	return c.end(response.Respond(c, r))
}

// serveForeign is a wrapped handler within the blocks of ATOMIC_REQUESTS.
func (q *request) serveForeign(w http.ResponseWriter, r *http.Request, next http.Handler) {
	r, err := q.atomic(r, &route{})
	if err != nil {
		q.answer(w, q.http, err)
		return
	}
	if !q.blocks.Load().Open() {
		next.ServeHTTP(w, r)
		return
	}
	defer q.abandon()
	c := newCommitting(w, q, false)
	next.ServeHTTP(c, r)
	if err := c.end(nil); err != nil {
		q.answer(w, q.http, err)
	}
}

// committing stands right around a handler in a block of ATOMIC_REQUESTS. Before the
// first byte it commits; when that fails, nothing of the response has left, its
// headers included, and every write says why.
type committing struct {
	http.ResponseWriter
	request     *request
	rollback5xx bool
	header      http.Header // until the commit
	done        bool
	err         error // of the commit
}

func newCommitting(w http.ResponseWriter, q *request, rollback5xx bool) *committing {
	return &committing{ResponseWriter: w, request: q, rollback5xx: rollback5xx, header: maps.Clone(w.Header())}
}

var (
	_ http.Flusher    = (*committing)(nil)
	_ http.Hijacker   = (*committing)(nil)
	_ io.ReaderFrom   = (*committing)(nil)
	_ io.StringWriter = (*committing)(nil)
)

func (c *committing) Header() http.Header {
	if c.done {
		return c.ResponseWriter.Header()
	}
	return c.header
}

// pass commits, once, and reports whether the response may go out.
func (c *committing) pass(status int) error {
	if c.done || c.err != nil {
		return c.err
	}
	if c.rollback5xx && status >= http.StatusInternalServerError {
		c.err = c.request.blocks.Load().Rollback()
	} else {
		c.err = c.request.commit()
	}
	if c.err == nil {
		c.done = true
		header := c.ResponseWriter.Header()
		clear(header)
		maps.Copy(header, c.header)
	}
	return c.err
}

// end is the end of the handler. A response without a byte is committed as well.
func (c *committing) end(err error) error {
	switch {
	case c.err != nil:
		return c.err
	case err != nil && !c.done:
		return c.request.rollBack(err)
	case err == nil:
		return c.pass(http.StatusOK)
	}
	return err
}

func (c *committing) WriteHeader(status int) {
	if isInformational(status) {
		header := c.ResponseWriter.Header()
		before := maps.Clone(header)
		maps.Copy(header, c.Header())
		c.ResponseWriter.WriteHeader(status)
		clear(header)
		maps.Copy(header, before)
		return
	}
	if c.pass(status) == nil {
		c.ResponseWriter.WriteHeader(status)
	}
}

func (c *committing) Write(p []byte) (int, error) {
	if err := c.pass(http.StatusOK); err != nil {
		return 0, err
	}
	return c.ResponseWriter.Write(p)
}

func (c *committing) WriteString(s string) (int, error) {
	if err := c.pass(http.StatusOK); err != nil {
		return 0, err
	}
	return io.WriteString(c.ResponseWriter, s)
}

func (c *committing) ReadFrom(from io.Reader) (int64, error) {
	if err := c.pass(http.StatusOK); err != nil {
		return 0, err
	}
	return io.Copy(c.ResponseWriter, from)
}

func (c *committing) controller() *http.ResponseController {
	return http.NewResponseController(c.ResponseWriter)
}

func (c *committing) Flush() { _ = c.FlushError() } // http.Flusher has no error

func (c *committing) FlushError() error {
	if err := c.pass(http.StatusOK); err != nil {
		return err
	}
	return c.controller().Flush()
}

func (c *committing) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := c.pass(http.StatusOK); err != nil {
		return nil, nil, err
	}
	return c.controller().Hijack()
}

func (c *committing) SetReadDeadline(t time.Time) error  { return c.controller().SetReadDeadline(t) }
func (c *committing) SetWriteDeadline(t time.Time) error { return c.controller().SetWriteDeadline(t) }
func (c *committing) EnableFullDuplex() error            { return c.controller().EnableFullDuplex() }

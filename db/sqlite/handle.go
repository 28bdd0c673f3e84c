package sqlite

import (
	"database/sql/driver"
	"reflect"
	"sync"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// handle is SQLite's own pointer to a connection, for the two calls that the driver
// does not offer: sqlite3_interrupt, which any goroutine may call while the
// connection is open, and sqlite3_get_autocommit. Where the driver's struct has no
// field of that name any more, both do without.
type handle struct {
	mu  sync.Mutex // held against close; guards the rest
	db  uintptr
	tls *libc.TLS // a thread state of its own: the driver's belongs to whoever runs a statement
}

func newHandle(c driver.Conn) *handle {
	h := &handle{}
	v := reflect.ValueOf(c)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return h
	}
	if field := v.Elem().FieldByName("db"); field.IsValid() && field.Kind() == reflect.Uintptr {
		h.db = uintptr(field.Uint())
	}
	return h
}

// interrupt stops every running statement of the connection.
func (h *handle) interrupt() {
	h.call(func(tls *libc.TLS) { lib.Xsqlite3_interrupt(tls, h.db) })
}

// inTransaction reports whether BEGIN was sent and neither COMMIT nor ROLLBACK, and
// SQLite has not rolled back by itself, as it does after some errors.
func (h *handle) inTransaction() (in, known bool) {
	known = h.call(func(tls *libc.TLS) { in = lib.Xsqlite3_get_autocommit(tls, h.db) == 0 })
	return in, known
}

// wrote reports whether the open transaction has written: whether it is more than
// a reader.
func (h *handle) wrote() (wrote bool) {
	h.call(func(tls *libc.TLS) { wrote = lib.Xsqlite3_txn_state(tls, h.db, 0) == lib.SQLITE_TXN_WRITE })
	return wrote
}

func (h *handle) call(fn func(tls *libc.TLS)) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.db == 0 {
		return false
	}
	if h.tls == nil {
		h.tls = libc.NewTLS()
	}
	fn(h.tls)
	return true
}

func (h *handle) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.db = 0
	if h.tls != nil {
		h.tls.Close()
		h.tls = nil
	}
}

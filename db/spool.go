package db

import (
	"bufio"
	"bytes"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
)

// spool keeps rows in memory, and beyond its bound in a file: first all are written,
// then all are read. It is for one goroutine.
type spool struct {
	memory int   // bytes kept in memory before there is a file
	disk   int64 // bytes that the file may have; negative is no file
	dir    string

	zones zones
	rows  int64  // written, and not read yet
	tail  []byte // not in the file
	file  *os.File
	named bool // the file could not be removed while it is open
	size  int64

	in      *bufio.Reader
	scratch []byte // of the row that was read last
}

// spoolChunk is how much goes to the file at once.
const spoolChunk = 128 << 10

func newSpool(o IterateOptions) *spool {
	return &spool{memory: o.SpoolMemory, disk: o.SpoolDisk, dir: o.SpoolDir}
}

// endRow ends a row, and moves what is too much for the memory to the file.
func (s *spool) endRow() error {
	s.rows++
	limit := s.memory
	if s.file != nil {
		limit = spoolChunk
	}
	if len(s.tail) <= limit {
		return nil
	}
	return s.flush()
}

// flush moves what is in memory to the file.
func (s *spool) flush() error {
	if s.size+int64(len(s.tail)) > s.disk {
		return fmt.Errorf("%w: row %d does not fit into %d bytes of memory and %d on disk; raise SpoolDisk, or read in batches (ModeKeyset)",
			ErrSpoolFull, s.rows, s.memory, max(0, s.disk))
	}
	if s.file == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	n, err := s.file.Write(s.tail)
	s.size += int64(n)
	if err != nil {
		return fmt.Errorf("db: Iterate: spool to a file after %d bytes: %w", s.size, err)
	}
	if cap(s.tail) > 2*spoolChunk {
		s.tail = make([]byte, 0, 2*spoolChunk)
	}
	s.tail = s.tail[:0]
	return nil
}

// open makes the file. It has lost its name before anything is in it: what has no name
// is gone with the process, however that ends.
func (s *spool) open() error {
	f, err := os.CreateTemp(s.dir, "quintet-spool-*")
	if err != nil {
		return fmt.Errorf("db: Iterate: spool to a file: %w", err)
	}
	s.file, s.named = f, os.Remove(f.Name()) != nil
	return nil
}

// rewind begins to read.
func (s *spool) rewind() error {
	if s.file == nil {
		s.in = bufio.NewReaderSize(bytes.NewReader(s.tail), 16)
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.tail = nil
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("db: Iterate: read the spool: %w", err)
	}
	s.in = bufio.NewReaderSize(s.file, spoolChunk)
	return nil
}

// next reads a row. Bytes in it are valid until the next one is read.
func (s *spool) next(dest []driver.Value) error {
	if s.rows == 0 {
		return io.EOF
	}
	s.rows--
	s.scratch = s.scratch[:0]
	for i := range dest {
		value, err := s.read()
		if err != nil {
			if errors.Is(err, io.EOF) { // which would look like the last row
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("db: Iterate: read the spool: %w", err)
		}
		dest[i] = value
	}
	return nil
}

// close forgets everything. The file goes with its handle.
func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if s.named {
		err = errors.Join(err, os.Remove(s.file.Name()))
	}
	s.file, s.in = nil, nil
	if err != nil {
		return fmt.Errorf("db: Iterate: close the spool: %w", err)
	}
	return nil
}

package db

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// The kinds of values that drivers return, as the first byte of each in a spool.
const (
	spoolNull byte = iota
	spoolFalse
	spoolTrue
	spoolInt
	spoolFloat
	spoolString
	spoolBytes
	spoolNoBytes // a nil []byte, which is not null
	spoolTime
)

// append writes a value of a driver, one of driver.Value's types.
func (s *spool) append(value any) error {
	switch v := value.(type) {
	case nil:
		s.tail = append(s.tail, spoolNull)
	case bool:
		kind := spoolFalse
		if v {
			kind = spoolTrue
		}
		s.tail = append(s.tail, kind)
	case int64:
		s.tail = binary.AppendVarint(append(s.tail, spoolInt), v)
	case float64:
		s.tail = binary.LittleEndian.AppendUint64(append(s.tail, spoolFloat), math.Float64bits(v))
	case string:
		s.tail = binary.AppendUvarint(append(s.tail, spoolString), uint64(len(v)))
		s.tail = append(s.tail, v...)
	case []byte:
		if v == nil {
			s.tail = append(s.tail, spoolNoBytes)
			break
		}
		s.tail = binary.AppendUvarint(append(s.tail, spoolBytes), uint64(len(v)))
		s.tail = append(s.tail, v...)
	case time.Time:
		s.tail = binary.AppendVarint(append(s.tail, spoolTime), v.Unix())
		s.tail = binary.AppendUvarint(s.tail, uint64(v.Nanosecond()))
		s.tail = binary.AppendUvarint(s.tail, uint64(s.zones.index(v)))
	default:
		return fmt.Errorf("the driver returns a %T, which cannot be spooled; cast the column to text, or read in batches (ModeKeyset)", value)
	}
	return nil
}

// read reads what append has written.
func (s *spool) read() (any, error) {
	kind, err := s.in.ReadByte()
	if err != nil {
		return nil, err
	}
	switch kind {
	case spoolNull:
		return nil, nil
	case spoolFalse, spoolTrue:
		return kind == spoolTrue, nil
	case spoolInt:
		return binaryOf(binary.ReadVarint(s.in))
	case spoolFloat:
		var b [8]byte
		_, err := io.ReadFull(s.in, b[:])
		return math.Float64frombits(binary.LittleEndian.Uint64(b[:])), err
	case spoolString:
		b, err := s.readBytes()
		return string(b), err
	case spoolBytes:
		return binaryOf(s.readBytes())
	case spoolNoBytes:
		return []byte(nil), nil
	case spoolTime:
		return binaryOf(s.readTime())
	}
	return nil, fmt.Errorf("there is no kind %d of values", kind)
}

// binaryOf makes a value of any type an any.
func binaryOf[V any](value V, err error) (any, error) { return value, err }

// readBytes reads bytes into what the row has for them.
func (s *spool) readBytes() ([]byte, error) {
	n, err := binary.ReadUvarint(s.in)
	if err != nil {
		return nil, err
	}
	begin := len(s.scratch)
	s.scratch = slices.Grow(s.scratch, int(n))[:begin+int(n)]
	b := s.scratch[begin:]
	_, err = io.ReadFull(s.in, b)
	return b[:len(b):len(b)], err
}

func (s *spool) readTime() (t time.Time, err error) {
	sec, err := binary.ReadVarint(s.in)
	if err != nil {
		return t, err
	}
	nsec, err := binary.ReadUvarint(s.in)
	if err != nil {
		return t, err
	}
	zone, err := binary.ReadUvarint(s.in)
	if err != nil {
		return t, err
	}
	return time.Unix(sec, int64(nsec)).In(s.zones.list[zone]), nil
}

// zones are the locations of the times in a spool. A driver that makes a new one for
// each value has few different ones all the same.
type zones struct {
	list  []*time.Location
	known map[zone]int
}

type zone struct {
	location string
	name     string
	offset   int
}

func (z *zones) index(t time.Time) int {
	l := t.Location()
	if i := len(z.list) - 1; i >= 0 && z.list[i] == l {
		return i
	}
	key := zone{location: l.String()}
	if l != time.UTC && l != time.Local {
		key.name, key.offset = t.Zone()
	}
	i, ok := z.known[key]
	if !ok {
		if z.known == nil {
			z.known = make(map[zone]int)
		}
		i = len(z.list)
		z.known[key] = i
		z.list = append(z.list, l)
	}
	return i
}

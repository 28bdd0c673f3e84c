package views

import (
	"database/sql/driver"
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// format writes a value, which is addressable, into a cell.
type format func(v reflect.Value) (string, error)

// cellFormat returns how values of type t are written, nil when they cannot be.
func cellFormat(t reflect.Type) format {
	if t.Kind() == reflect.Pointer {
		return pointerFormat(cellFormat(t.Elem()))
	}
	if t.Kind() == reflect.Interface {
		return nil // what it holds is known too late
	}
	for _, by := range []func(reflect.Type) format{
		byMethod(timeCell), byMethod(textCell), byMethod(valuerCell), byMethod(stringerCell), byKind,
	} {
		if f := by(t); f != nil {
			return f
		}
	}
	return nil
}

func pointerFormat(inner format) format {
	if inner == nil {
		return nil
	}
	return func(v reflect.Value) (string, error) {
		if v.IsNil() {
			return "", nil
		}
		return inner(v.Elem())
	}
}

// byMethod makes a format of the types that have the methods of M, on the value
// or on its pointer.
func byMethod[M any](write func(M) (string, error)) func(reflect.Type) format {
	return func(t reflect.Type) format {
		if !has[M](t) {
			return nil
		}
		return func(v reflect.Value) (string, error) { return write(v.Addr().Interface().(M)) }
	}
}

// moment is time.Time and what embeds it.
type moment interface {
	encoding.TextMarshaler
	IsZero() bool
	Unix() int64
}

func timeCell(m moment) (string, error) {
	if m.IsZero() {
		return "", nil
	}
	return textCell(m)
}

func textCell(m encoding.TextMarshaler) (string, error) {
	text, err := m.MarshalText()
	return string(text), err
}

func stringerCell(s fmt.Stringer) (string, error) { return s.String(), nil }

func valuerCell(v driver.Valuer) (string, error) {
	value, err := v.Value()
	if err != nil || value == nil {
		return "", err
	}
	if at, ok := value.(time.Time); ok {
		return timeCell(at)
	}
	cell := reflect.ValueOf(value)
	if write := byKind(cell.Type()); write != nil {
		return write(cell)
	}
	return "", fmt.Errorf("the Value of %T is a %T", v, value)
}

func byKind(t reflect.Type) format {
	switch {
	case t.Kind() == reflect.String:
		return func(v reflect.Value) (string, error) { return v.String(), nil }
	case t.Kind() == reflect.Bool:
		return func(v reflect.Value) (string, error) { return strconv.FormatBool(v.Bool()), nil }
	case reflect.Int <= t.Kind() && t.Kind() <= reflect.Int64:
		return func(v reflect.Value) (string, error) { return strconv.FormatInt(v.Int(), 10), nil }
	case reflect.Uint <= t.Kind() && t.Kind() <= reflect.Uintptr:
		return func(v reflect.Value) (string, error) { return strconv.FormatUint(v.Uint(), 10), nil }
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return func(v reflect.Value) (string, error) { return formatFloat(v.Float(), t.Bits()), nil }
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return func(v reflect.Value) (string, error) { return string(v.Bytes()), nil }
	}
	return nil
}

// formatFloat writes what a spreadsheet reads: exponents for the extremes only.
func formatFloat(f float64, bits int) string {
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strconv.FormatFloat(f, 'e', -1, bits)
	}
	return strconv.FormatFloat(f, 'f', -1, bits)
}

// snakeCase writes UnitPrice as unit_price and RegionID as region_id.
func snakeCase(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, c := range runes {
		if i > 0 && unicode.IsUpper(c) {
			endsWord := !unicode.IsUpper(runes[i-1])
			startsWord := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if (endsWord || startsWord) && runes[i-1] != '_' {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

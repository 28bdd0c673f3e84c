package views

import (
	"errors"
	"reflect"
	"strconv"
	"time"
)

// What the client reads about a wrong field.
const (
	problemNUL   = "must not have a NUL character"
	problemRange = "is out of range"
)

// wanted says what a field of type t takes.
func wanted(t reflect.Type) string {
	switch k := t.Kind(); {
	case t == reflect.TypeFor[time.Time]():
		return "must be a time, as 2006-01-02T15:04:05Z"
	case k == reflect.Pointer:
		return wanted(t.Elem())
	case k == reflect.String:
		return "must be text"
	case k == reflect.Bool:
		return "must be true or false"
	case reflect.Int <= k && k <= reflect.Int64:
		return "must be a whole number"
	case reflect.Uint <= k && k <= reflect.Uintptr:
		return "must be a whole number, not negative"
	case isNumber(t):
		return "must be a number"
	case k == reflect.Slice, k == reflect.Array:
		return "must be a list"
	case k == reflect.Struct, k == reflect.Map:
		return "must be an object"
	default:
		return "is not valid"
	}
}

func isNumber(t reflect.Type) bool {
	return reflect.Int <= t.Kind() && t.Kind() <= reflect.Float64
}

// numberProblem says why strconv does not read a number of type t.
func numberProblem(err error, t reflect.Type) string {
	if errors.Is(err, strconv.ErrRange) {
		return problemRange
	}
	return wanted(t)
}

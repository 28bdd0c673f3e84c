package views

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// nesting is how deep a body is taken apart. What is deeper is left to
// encoding/json, which names only the first wrong field: each level reads what is
// below it once more.
const nesting = 16

// bindJSON fills the target from the one JSON value in the body.
func bindJSON(target reflect.Value, body io.Reader) error {
	decoder := json.NewDecoder(body)
	var value json.RawMessage
	err := decoder.Decode(&value)
	if err == nil {
		var more json.RawMessage
		if err = decoder.Decode(&more); err == nil {
			err = errors.New("there is text after the value")
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		return unread(err, "The JSON cannot be read.")
	}
	wrong := &BindError{}
	wrong.decode(value, target, "", 0)
	return wrong.result()
}

// decode sets v to the value, and notes everything in it that does not fit.
func (e *BindError) decode(value json.RawMessage, v reflect.Value, path string, depth int) {
	switch t := v.Type(); {
	case string(value) == "null" || depth == nesting || has[json.Unmarshaler](t) || has[encoding.TextUnmarshaler](t):
		e.decodeWhole(value, v, path)
	case t.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		e.decode(value, v.Elem(), path, depth)
	case t.Kind() == reflect.Struct && value[0] == '{':
		e.decodeStruct(value, v, path, depth+1)
	case t.Kind() == reflect.Slice && value[0] == '[':
		e.decodeSlice(value, v, path, depth+1)
	default:
		e.decodeWhole(value, v, path)
	}
}

func (e *BindError) decodeStruct(value json.RawMessage, v reflect.Value, path string, depth int) {
	fields := fieldsOf(v.Type(), jsonTag, func(reflect.Type) bool { return false })
	given := make(map[string]bool)
	decoder := json.NewDecoder(bytes.NewReader(value))
	_, _ = decoder.Token() // the brace; the value has been read before, it is valid
	for decoder.More() {
		token, _ := decoder.Token()
		key, _ := token.(string)
		var inner json.RawMessage
		_ = decoder.Decode(&inner)
		at := key
		if path != "" {
			at = path + "." + key
		}
		field, known := jsonField(fields, key)
		switch {
		case !known:
			e.add(at, "is not a field here")
			continue
		case given[field.Name]:
			e.add(at, "is given twice")
			continue
		}
		given[field.Name] = true
		to := field.reach(v)
		if !to.IsValid() {
			e.add(at, "is not a field here")
			continue
		}
		if quoted(field) {
			if inner, known = unquote(inner); !known {
				e.add(at, "%s, in quotes", wanted(to.Type()))
				continue
			}
		}
		e.decode(inner, to, at, depth)
	}
}

func (e *BindError) decodeSlice(value json.RawMessage, v reflect.Value, path string, depth int) {
	var items []json.RawMessage
	_ = json.Unmarshal(value, &items) // it is valid and a list
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		e.decode(item, v.Index(i), path+"["+strconv.Itoa(i)+"]", depth)
	}
}

// decodeWhole leaves a value to encoding/json.
func (e *BindError) decodeWhole(value json.RawMessage, v reflect.Value, path string) {
	if path == "" {
		path = "the body"
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v.Addr().Interface()); err != nil {
		e.add(path, "%s", jsonProblem(err))
	} else if hasNUL(value) {
		e.add(path, problemNUL)
	}
}

func jsonTag(f reflect.StructField) string {
	tag := f.Tag.Get("json")
	name, _, _ := strings.Cut(tag, ",")
	if name == "-" && tag != "-" {
		return "-," // a field that is called "-"
	}
	return name
}

// jsonField finds the field of a key: by its exact name, or else by one that
// differs in case.
func jsonField(fields []field, key string) (field, bool) {
	found := -1
	for i, f := range fields {
		name := strings.TrimSuffix(f.tag, ",")
		if name == "" {
			name = f.Name
		}
		if name == key {
			return f, true
		}
		if found < 0 && strings.EqualFold(name, key) {
			found = i
		}
	}
	if found < 0 {
		return field{}, false
	}
	return fields[found], true
}

// quoted reports whether the field has the option that puts numbers in quotes.
func quoted(f field) bool {
	_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	for option := range strings.SplitSeq(options, ",") {
		if option == "string" {
			return true
		}
	}
	return false
}

// unquote returns the value in the quotes, or false.
func unquote(value json.RawMessage) (json.RawMessage, bool) {
	if string(value) == "null" {
		return value, true
	}
	var inner string
	err := json.Unmarshal(value, &inner)
	return json.RawMessage(inner), err == nil && json.Valid([]byte(inner))
}

// hasNUL reports whether a string in the value has one.
func hasNUL(value json.RawMessage) bool {
	if !bytes.Contains(value, []byte(`\u0000`)) {
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		if text, ok := token.(string); ok && strings.ContainsRune(text, 0) {
			return true
		}
	}
}

// jsonProblem says for the client what encoding/json says for the programmer.
func jsonProblem(err error) string {
	mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return "is not valid: " + strings.TrimPrefix(err.Error(), "json: ")
	}
	problem := wanted(mismatch.Type)
	if number, ok := strings.CutPrefix(mismatch.Value, "number "); ok && !strings.ContainsAny(number, ".eE") && isNumber(mismatch.Type) {
		problem = problemRange
	}
	if mismatch.Field != "" {
		problem = "has a wrong field: " + mismatch.Field + " " + problem
	}
	return problem
}

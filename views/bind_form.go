package views

import (
	"encoding"
	"fmt"
	"mime/multipart"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// bindForm fills the struct from the fields and files of a form.
func bindForm(target reflect.Value, form url.Values, files map[string][]*multipart.FileHeader) error {
	if target.Kind() != reflect.Struct {
		return fmt.Errorf("views: Bind: a form does not fill a %v: use a struct", target.Type())
	}
	wrong := &BindError{}
	for _, field := range fieldsOf(target.Type(), formTag, isFormValue) {
		if !fillable(field.Type) {
			return unfillable(target.Type(), field)
		}
		name := formName(field, form)
		given, uploads := form[name], files[formName(field, files)]
		if len(given) == 0 && len(uploads) == 0 {
			continue
		}
		v := field.reach(target)
		switch {
		case !v.IsValid():
			return unfillable(target.Type(), field)
		case isFile(field.Type):
			fillFiles(v, uploads)
		case len(given) > 0:
			fill(v, given, func(problem string) { wrong.add(name, "%s", problem) })
		}
	}
	return wrong.result()
}

func unfillable(t reflect.Type, f field) error {
	return fmt.Errorf("views: Bind: a form does not fill field %s of %v, a %v: give it an UnmarshalText or the tag `form:\"-\"`", f.Name, t, f.Type)
}

func formTag(f reflect.StructField) string {
	tag, ok := f.Tag.Lookup("form")
	if !ok {
		tag, _, _ = strings.Cut(f.Tag.Get("json"), ",")
	}
	return tag
}

// formName returns the name of the field in the form: its tag, or its own as the
// form spells it.
func formName[V any](f field, form map[string]V) string {
	if f.tag != "" {
		return f.tag
	}
	if _, ok := form[f.Name]; ok {
		return f.Name
	}
	for name := range form {
		if strings.EqualFold(name, f.Name) {
			return name
		}
	}
	return f.Name
}

// isFormValue reports whether a struct is one field and not several.
func isFormValue(t reflect.Type) bool { return has[encoding.TextUnmarshaler](t) }

func isFile(t reflect.Type) bool {
	return t == reflect.TypeFor[*multipart.FileHeader]() || t == reflect.TypeFor[[]*multipart.FileHeader]()
}

// fillable reports whether a form can fill a field of type t.
func fillable(t reflect.Type) bool {
	if isFile(t) {
		return true
	}
	if !isFormValue(t) && (t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer) {
		t = t.Elem()
	}
	if isFormValue(t) {
		return true
	}
	return t.Kind() == reflect.String || t.Kind() == reflect.Bool || isNumber(t)
}

func fillFiles(v reflect.Value, files []*multipart.FileHeader) {
	switch {
	case len(files) == 0:
	case v.Kind() == reflect.Slice:
		v.Set(reflect.ValueOf(slices.Clone(files)))
	default:
		v.Set(reflect.ValueOf(files[len(files)-1]))
	}
}

// fill sets a field to the last of the values, or to all of them.
func fill(v reflect.Value, values []string, wrong func(problem string)) {
	if v.Kind() == reflect.Slice && !isFormValue(v.Type()) {
		all := reflect.MakeSlice(v.Type(), len(values), len(values))
		for i, value := range values {
			if problem := fillOne(all.Index(i), value); problem != "" {
				wrong(problem)
				return
			}
		}
		v.Set(all)
		return
	}
	if problem := fillOne(v, values[len(values)-1]); problem != "" {
		wrong(problem)
	}
}

// fillOne sets v to what the text says, or returns what is wrong with the text.
func fillOne(v reflect.Value, text string) (problem string) {
	switch {
	case strings.ContainsRune(text, 0):
		return problemNUL
	case !utf8.ValidString(text):
		return "must be text in UTF-8"
	case v.Kind() == reflect.Pointer && text == "":
		v.SetZero()
		return ""
	case v.Kind() == reflect.Pointer:
		to := reflect.New(v.Type().Elem())
		if problem := fillOne(to.Elem(), text); problem != "" {
			return problem
		}
		v.Set(to)
		return ""
	case v.Type() == reflect.TypeFor[time.Time]():
		return fillTime(v, text)
	case isFormValue(v.Type()):
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			return "is not valid: " + err.Error()
		}
		return ""
	}
	return fillKind(v, strings.TrimSpace(text), text)
}

// fillKind reads what is not text without the space around it.
func fillKind(v reflect.Value, trimmed, text string) (problem string) {
	switch k := v.Kind(); {
	case k == reflect.String:
		v.SetString(text)
	case k == reflect.Bool:
		switch strings.ToLower(trimmed) {
		case "on", "true", "yes", "1":
			v.SetBool(true)
		case "off", "false", "no", "0", "":
			v.SetBool(false)
		default:
			return wanted(v.Type())
		}
	case k == reflect.Float32 || k == reflect.Float64:
		f, err := strconv.ParseFloat(trimmed, v.Type().Bits())
		if err != nil {
			return numberProblem(err, v.Type())
		}
		v.SetFloat(f)
	case k <= reflect.Int64:
		i, err := strconv.ParseInt(trimmed, 10, v.Type().Bits())
		if err != nil {
			return numberProblem(err, v.Type())
		}
		v.SetInt(i)
	default:
		u, err := strconv.ParseUint(trimmed, 10, v.Type().Bits())
		if err != nil {
			return numberProblem(err, v.Type())
		}
		v.SetUint(u)
	}
	return ""
}

// fillTime also reads what date and datetime-local inputs send, as UTC.
func fillTime(v reflect.Value, text string) (problem string) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02T15:04:05", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			v.Set(reflect.ValueOf(at))
			return ""
		}
	}
	return wanted(v.Type())
}

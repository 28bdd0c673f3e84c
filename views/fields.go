package views

import (
	"reflect"
	"slices"
)

// field is a field of a struct or of a struct that is embedded in it.
type field struct {
	reflect.StructField        // its Index begins at the outermost struct
	tag                 string // what names it, "" when only Go does
}

// fieldsOf returns the exported fields of a struct in their order. Embedded
// structs are replaced by their fields, with Go's rules of who hides whom, unless
// the field has a tag or its type is a value of its own. A tag "-" leaves a field
// out, with everything in it.
func fieldsOf(model reflect.Type, tag func(reflect.StructField) string, isValue func(reflect.Type) bool) []field {
	var fields []field
	var add func(part reflect.Type, at []int)
	add = func(part reflect.Type, at []int) {
		for i := range part.NumField() {
			f := field{StructField: part.Field(i)}
			f.Index = append(slices.Clip(at), i)
			f.tag = tag(f.StructField)
			visible, _ := model.FieldByName(f.Name)
			if f.tag == "-" || !slices.Equal(visible.Index, f.Index) {
				continue
			}
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			switch {
			case f.Anonymous && f.tag == "" && inner.Kind() == reflect.Struct && !isValue(inner):
				add(inner, f.Index)
			case f.IsExported():
				fields = append(fields, f)
			}
		}
	}
	add(model, nil)
	return fields
}

// reach returns the field in v, making the embedded pointers on the way. It is
// invalid when one of them is of a type that only its package can make.
func (f field) reach(v reflect.Value) reflect.Value {
	for i, x := range f.Index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return reflect.Value{}
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(x)
	}
	return v
}

// has reports whether t or a pointer to it has the methods of M.
func has[M any](t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[M]())
}

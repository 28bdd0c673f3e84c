package views

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"mime/multipart"
	"net/http"
	"reflect"
	"strings"
)

// formMemory is what a form keeps of its files in memory; the rest is on disk
// until the request is over. Django's FILE_UPLOAD_MAX_MEMORY_SIZE.
const formMemory = 2 << 20

// fieldLimit is how many wrong fields a BindError names.
const fieldLimit = 100

// BindError reports everything that was wrong with the fields of a request's body.
// It is an [ErrBadRequest].
type BindError struct {
	Fields []FieldError // in the order of the body, or of the struct for a form; the first 100
}

// FieldError is one wrong field.
type FieldError struct {
	Field   string // as the client calls it: "lines[2].price"
	Message string // for the client: "must be a whole number"
}

// Error names every wrong field.
func (e *BindError) Error() string { return "views: Bind: " + e.message() }

// Unwrap returns [ErrBadRequest].
func (e *BindError) Unwrap() error { return ErrBadRequest }

func (e *BindError) message() string {
	sentences := make([]string, len(e.Fields))
	for i, field := range e.Fields {
		sentences[i] = field.Field + " " + field.Message
	}
	return strings.Join(sentences, "; ")
}

// add notes a wrong field.
func (e *BindError) add(field, format string, args ...any) {
	if len(e.Fields) < fieldLimit {
		e.Fields = append(e.Fields, FieldError{field, fmt.Sprintf(format, args...)})
	}
}

// result is nil when no field was wrong.
func (e *BindError) result() error {
	if len(e.Fields) == 0 {
		return nil
	}
	return e
}

// Bind reads the body of the request into dst, a pointer to a struct, and for
// JSON also to anything else. The Content-Type says how: JSON, or a form, URL
// encoded or multipart. Another type is [ErrUnsupportedMediaType]; a request
// without a body is an empty form.
//
// A body that cannot be read is [ErrBadRequest], one that is larger than the
// site accepts [ErrTooLarge]. Wrong fields are all named at once, by a
// [*BindError]. Fields that the body does not have keep what dst had in them.
// After an error dst is filled in part.
//
// JSON is decoded by encoding/json and its tags, field by field. Fields that dst
// does not have, fields given twice, and text after the value are errors.
//
// A form is decoded into fields named by the tag `form`, else `json`, else by the
// field, whose case does not count. Parameters of the URL are never taken for
// fields (see [Request.Query]), and fields that dst does not have are ignored, as
// Django's forms ignore them. Strings, booleans (an HTML checkbox says "on"),
// numbers, [time.Time] (RFC 3339, or as date and datetime-local inputs write it),
// everything with an UnmarshalText, pointers and slices of these, and uploaded
// files as [*multipart.FileHeader] are understood. A field that is given several
// times takes the last value, or all of them when it is a slice. An empty value is
// nil for a pointer, and no number. A field with the tag "-" is never filled;
// fields of other types are a mistake of the site.
//
// A string with a NUL, or in a form one that is not UTF-8, is refused: databases
// do not store it (Django's ProhibitNullCharactersValidator).
func (r *Request) Bind(dst any) error {
	target := reflect.ValueOf(dst)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("views: Bind: %T is not a pointer to fill", dst)
	}
	header := r.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(header)
	switch {
	case header == "" && (r.Body == nil || r.Body == http.NoBody):
		return bindForm(target.Elem(), nil, nil)
	case err == nil && (media == "application/json" || strings.HasSuffix(media, "+json")):
		return bindJSON(target.Elem(), r.Body)
	case err == nil && (media == "application/x-www-form-urlencoded" || media == "multipart/form-data"):
		if err := r.parseForm(media); err != nil {
			return unread(err, "The form cannot be read.")
		}
		var files map[string][]*multipart.FileHeader
		if r.MultipartForm != nil {
			files = r.MultipartForm.File
		}
		return bindForm(target.Elem(), r.PostForm, files)
	}
	return &Error{
		Status:  http.StatusUnsupportedMediaType,
		Message: "Send JSON or a form.",
		Err:     fmt.Errorf("views: Bind: the Content-Type is %q, neither JSON nor a form", header),
	}
}

// parseForm fills PostForm and MultipartForm, unless a middleware has done it.
func (r *Request) parseForm(media string) error {
	// The form is the body's alone, and the body is read for every method.
	form := *r.Request
	form.URL, form.Method = nil, http.MethodPost
	if media == "application/x-www-form-urlencoded" {
		err := form.ParseForm()
		r.PostForm = form.PostForm
		return err
	}
	err := form.ParseMultipartForm(formMemory)
	if r.MultipartForm == nil && form.MultipartForm != nil && len(form.MultipartForm.File) > 0 {
		// The server removes the files of the request that it made, which may not
		// be this copy of it.
		context.AfterFunc(r.Context(), func() { _ = form.MultipartForm.RemoveAll() })
	}
	r.PostForm, r.MultipartForm = form.PostForm, form.MultipartForm
	return err
}

// unread is the error of a body that was not understood, or not even read.
func unread(err error, message string) error {
	status := http.StatusBadRequest
	if _, limit := errors.AsType[*http.MaxBytesError](err); limit || errors.Is(err, multipart.ErrMessageTooLarge) {
		status, message = http.StatusRequestEntityTooLarge, ""
	}
	return &Error{Status: status, Message: message, Err: fmt.Errorf("views: Bind: %w", err)}
}

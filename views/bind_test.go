package views_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/views"
)

// post is a request with a body of that type.
func post(contentType, body string) *views.Request {
	r := httptest.NewRequest(http.MethodPost, "/?name=from+the+URL&age=99&Tags=u", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return views.NewRequest(r, nil)
}

func postJSON(body string) *views.Request { return post("application/json; charset=utf-8", body) }

func postForm(form url.Values) *views.Request {
	return post("application/x-www-form-urlencoded", form.Encode())
}

type person struct {
	Name    string `json:"name"`
	Age     int8   `json:"age"`
	Born    time.Time
	Weight  *float64
	Admin   bool
	Tags    []string
	From    netip.Addr
	Secret  string `json:"-"`
	ID      int64  `json:"id,string" form:"person_id"`
	private int    //nolint:unused // never filled
	Contact
	*Address
}

type Contact struct{ Email string }

type Address struct{ City string }

// wrongFields returns what the BindError says about each field.
func wrongFields(t testing.TB, err error) map[string]string {
	t.Helper()
	bindErr, ok := errors.AsType[*views.BindError](err)
	if !ok {
		t.Fatalf("error %v is no BindError", err)
	}
	if views.StatusOf(err) != http.StatusBadRequest || !errors.Is(err, views.ErrBadRequest) {
		t.Errorf("%v is no ErrBadRequest", err)
	}
	fields := make(map[string]string)
	for _, field := range bindErr.Fields {
		fields[field.Field] = field.Message
	}
	return fields
}

func TestBind_AForm(t *testing.T) {
	t.Parallel()
	form := url.Values{
		"name": {"ignored", " Ada "}, "age": {" 36 "}, "born": {"1815-12-10"}, "weight": {"50.5"}, "admin": {"on"},
		"Tags": {"a", "b"}, "from": {"::1"}, "person_id": {"7"}, "email": {"ada@example.com"}, "city": {"London"},
		"csrfmiddlewaretoken": {"x"}, "Secret": {"x"}, "-": {"x"}, "private": {"1"}, "id": {"9"},
	}
	weight := 50.5
	want := person{
		Name: " Ada ", Age: 36, Born: time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC), Weight: &weight, Admin: true, Tags: []string{"a", "b"},
		From: netip.MustParseAddr("::1"), ID: 7, Contact: Contact{"ada@example.com"}, Address: &Address{"London"},
	}
	var multi bytes.Buffer
	writer := multipart.NewWriter(&multi)
	for name, values := range form {
		for _, value := range values {
			_ = writer.WriteField(name, value)
		}
	}
	_ = writer.Close()
	for name, request := range map[string]*views.Request{
		"URL encoded": postForm(form),
		"multipart":   post(writer.FormDataContentType(), multi.String()),
	} {
		var got person
		if err := request.Bind(&got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", name, err, got, want)
		}
	}
}

func TestBind_AFormNeverTakesTheQuery(t *testing.T) {
	t.Parallel()
	for _, request := range []*views.Request{postForm(nil), postForm(url.Values{"name": {"x"}})} {
		_ = request.FormValue("name") // a middleware has looked, and parsed both
		got := person{Age: 1}
		if err := request.Bind(&got); err != nil || got.Age != 1 || got.Tags != nil || got.Name == "from the URL" {
			t.Errorf("%v, %+v", err, got)
		}
	}
	bad := httptest.NewRequest(http.MethodPost, "/?a=%zz&b;c", strings.NewReader("name=Ada"))
	bad.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var got person
	if err := views.NewRequest(bad, nil).Bind(&got); err != nil || got.Name != "Ada" {
		t.Errorf("with a malformed query: %v, %+v", err, got)
	}
}

func TestBind_AFormOfEveryMethod(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete} {
		r := httptest.NewRequest(method, "/?name=x", strings.NewReader("name=Ada"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		var got person
		if err := views.NewRequest(r, nil).Bind(&got); err != nil || got.Name != "Ada" || r.Method != method || r.URL.RawQuery != "name=x" {
			t.Errorf("%s: %v, %+v", method, err, got)
		}
	}
}

func TestBind_WithoutABodyIsAnEmptyForm(t *testing.T) {
	t.Parallel()
	got := person{Name: "kept"}
	r := httptest.NewRequest(http.MethodPost, "/?name=x", nil)
	if err := views.NewRequest(r, nil).Bind(&got); err != nil || got.Name != "kept" {
		t.Errorf("%v, %+v", err, got)
	}
}

func TestBind_AFormNamesEveryWrongFieldAtOnce(t *testing.T) {
	t.Parallel()
	var dst struct {
		Text   string
		Latin  string
		Whole  int
		Empty  int
		Small  int8
		Size   uint
		Float  float64
		Flag   bool
		At     time.Time
		From   netip.Addr
		Ages   []int
		Maybe  *int
		Absent *int
	}
	err := postForm(url.Values{
		"text": {"a\x00b"}, "latin": {"bl\xe5"}, "whole": {"1.5"}, "empty": {""}, "small": {"300"}, "size": {"-1"}, "float": {"x"},
		"flag": {"maybe"}, "at": {"yesterday"}, "from": {"nowhere"}, "ages": {"1", "x"}, "maybe": {"x"}, "absent": {""},
	}).Bind(&dst)
	got := wrongFields(t, err)
	for field, want := range map[string]string{
		"text": "must not have a NUL character", "latin": "must be text in UTF-8", "whole": "must be a whole number",
		"empty": "must be a whole number", "small": "is out of range", "size": "must be a whole number, not negative",
		"float": "must be a number", "flag": "must be true or false", "at": "must be a time, as 2006-01-02T15:04:05Z",
		"from": "is not valid: ", "ages": "must be a whole number", "maybe": "must be a whole number",
	} {
		if !strings.HasPrefix(got[field], want) {
			t.Errorf("%s: %q, want %q", field, got[field], want)
		}
		delete(got, field)
	}
	if len(got) > 0 {
		t.Errorf("also: %v", got)
	}
}

func TestBind_AFormReadsWhatInputsSend(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-02-03T04:05:06+02:00": "2026-02-03T04:05:06+02:00",
		"2026-02-03T04:05":          "2026-02-03T04:05:00Z",
		"2026-02-03T04:05:06":       "2026-02-03T04:05:06Z",
		"2026-02-03":                "2026-02-03T00:00:00Z",
	} {
		var dst struct{ At time.Time }
		if err := postForm(url.Values{"at": {text}}).Bind(&dst); err != nil || dst.At.Format(time.RFC3339) != want {
			t.Errorf("%q: %v, %v", text, dst.At, err)
		}
	}
	for text, want := range map[string]bool{"on": true, "TRUE": true, "1": true, "yes": true, "off": false, "false": false, "0": false, "no": false, "": false} {
		dst := struct{ Flag bool }{!want}
		if err := postForm(url.Values{"flag": {text}}).Bind(&dst); err != nil || dst.Flag != want {
			t.Errorf("%q: %v, %v", text, dst.Flag, err)
		}
	}
}

func TestBind_UploadedFiles(t *testing.T) {
	t.Parallel()
	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	for _, name := range []string{"photo", "photo", "Papers", "Papers"} {
		file, err := writer.CreateFormFile(name, name+".txt")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(file, strings.Repeat("x", 600<<10))
	}
	_ = writer.Close()
	var got struct {
		Photo  *multipart.FileHeader `form:"photo"`
		Papers []*multipart.FileHeader
		None   *multipart.FileHeader
	}
	if err := post(writer.FormDataContentType(), form.String()).Bind(&got); err != nil {
		t.Fatal(err)
	}
	if got.Photo == nil || got.Photo.Size != 600<<10 || len(got.Papers) != 2 || got.Papers[0].Filename != "Papers.txt" || got.None != nil {
		t.Errorf("%+v", got)
	}
}

// net/http removes the files of the request that it made. Views get copies of it.
func TestBind_RemovesUploadedFilesAfterTheRequest(t *testing.T) {
	t.Parallel()
	stored := ""
	s := serve(t, &life{}, func(r *views.Request) (views.Response, error) {
		var form struct{ Photo *multipart.FileHeader }
		if err := r.With(context.WithValue(r.Context(), key{}, "a copy")).Bind(&form); err != nil {
			return nil, err
		}
		file, err := form.Photo.Open()
		if err != nil {
			return nil, err
		}
		if file, ok := file.(*os.File); ok {
			stored = file.Name()
		}
		return views.NoContent{}, file.Close()
	})
	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	file, err := writer.CreateFormFile("photo", "photo.png")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = file.Write(make([]byte, 3<<20))
	_ = writer.Close()
	response, err := s.Client().Post(s.URL, writer.FormDataContentType(), &form)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if end := <-s.over; end.err != nil || stored == "" {
		t.Fatalf("ended with %v, stored in %q", end, stored)
	}
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		if _, err := os.Stat(stored); errors.Is(err, fs.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", stored)
		}
	}
}

func TestBind_RefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		request *views.Request
		want    error
	}{
		"another type":       {post("text/xml", "<a/>"), views.ErrUnsupportedMediaType},
		"no type":            {post("", "name=Ada"), views.ErrUnsupportedMediaType},
		"a broken type":      {post("application/", "name=Ada"), views.ErrUnsupportedMediaType},
		"a broken form":      {post("application/x-www-form-urlencoded", "name=%zz"), views.ErrBadRequest},
		"a broken multipart": {post("multipart/form-data; boundary=x", "--x\r\nnonsense"), views.ErrBadRequest},
		"without boundary":   {post("multipart/form-data", "x"), views.ErrBadRequest},
		"a large form":       {limited(postForm(url.Values{"name": {"Ada"}})), views.ErrTooLarge},
		"large JSON":         {limited(postJSON(`{"name": "Ada"}`)), views.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var dst person
			if err := c.request.Bind(&dst); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func limited(r *views.Request) *views.Request {
	r.Body = http.MaxBytesReader(nil, r.Body, 4)
	return r
}

func TestBind_RefusesATargetThatIsNone(t *testing.T) {
	t.Parallel()
	var none *person
	var number int
	type nested struct{ Address struct{ City string } }
	for says, err := range map[string]error{
		"person is not a pointer":     postJSON("{}").Bind(person{}),
		"*views_test.person is not":   postJSON("{}").Bind(none),
		"<nil> is not":                postJSON("{}").Bind(nil),
		"a form does not fill a int":  postForm(nil).Bind(&number),
		"does not fill field Address": postForm(nil).Bind(&nested{}),
		"does not fill field City":    postForm(url.Values{"city": {"x"}}).Bind(&struct{ *address }{}),
	} {
		wantError(t, err, "views: Bind: ", says)
		if views.StatusOf(err) != http.StatusInternalServerError {
			t.Errorf("%v is not the site's fault", err)
		}
	}
}

type address struct{ City string }

func FuzzBind(f *testing.F) {
	for _, seed := range []string{`{"name": "Ada", "Tags": ["a"]}`, `name=Ada&tags=a&age=1`, `{"a":{"a":[`, `"\u0000"`} {
		f.Add(true, seed)
		f.Add(false, seed)
	}
	f.Fuzz(func(t *testing.T, isJSON bool, body string) {
		contentType := "application/x-www-form-urlencoded"
		if isJSON {
			contentType = "application/json"
		}
		var dst person
		err := post(contentType, body).Bind(&dst)
		if err != nil && views.StatusOf(err) != http.StatusBadRequest {
			t.Errorf("%q: %v", body, err)
		}
		if err == nil && strings.ContainsRune(dst.Name+strings.Join(dst.Tags, "")+dst.Email, 0) {
			t.Errorf("%q: a NUL came through: %+v", body, dst)
		}
	})
}

package views_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
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

func TestBind_JSON(t *testing.T) {
	t.Parallel()
	got := person{Secret: "kept", Admin: true}
	err := postJSON(`{"name": "Ada", "AGE": 36, "Born": "1815-12-10T00:00:00Z", "Weight": 50.5, "Tags": ["a", "b"],
		"From": "::1", "id": "9007199254740993", "Email": "ada@example.com", "City": "London"}`).Bind(&got)
	weight := 50.5
	want := person{
		Name: "Ada", Age: 36, Born: time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC), Weight: &weight, Tags: []string{"a", "b"},
		From: netip.MustParseAddr("::1"), ID: 9007199254740993, Contact: Contact{"ada@example.com"}, Address: &Address{"London"},
		Secret: "kept", Admin: true,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	if err := postJSON(`{"Weight": null, "name": null, "id": null}`).Bind(&got); err != nil || got.Weight != nil || got.Name != "Ada" || got.ID != 9007199254740993 {
		t.Errorf("null: %v, %+v", err, got)
	}
}

func TestBind_JSONReadsTheTagsAsEncodingJSONDoes(t *testing.T) {
	t.Parallel()
	var got struct {
		Dash   string `json:"-,"` //nolint:staticcheck // the old way to say it
		Out    string `json:"-"`
		Text   string
		Exact  string `json:"exact"`
		Exact2 string `json:"EXACT"`
		Maybe  *int   `json:",omitempty,string"`
	}
	err := postJSON(`{"-": "a", "text": "\\u0000", "EXACT": "b", "Maybe": "7"}`).Bind(&got)
	if err != nil || got.Dash != "a" || got.Text != `\u0000` || got.Exact != "" || got.Exact2 != "b" || *got.Maybe != 7 {
		t.Errorf("%v, %+v", err, got)
	}
	if got := wrongFields(t, postJSON(`{"Out": "a", "Text": ["b"], "Maybe": "x"}`).Bind(&got)); len(got) != 3 || got["Out"] != "is not a field here" || got["Text"] != "must be text" {
		t.Errorf("%v", got)
	}
}

func TestBind_JSONOfOtherTypes(t *testing.T) {
	t.Parallel()
	var list []int
	var table map[string]any
	var anything any
	for body, dst := range map[string]any{`[1, 2]`: &list, ` {"a": {"b": null}} `: &table, `"text"`: &anything} {
		if err := post("application/merge-patch+json", body).Bind(dst); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	if fmt.Sprintln(list, table, anything) != "[1 2] map[a:map[b:<nil>]] text\n" {
		t.Errorf("%v %v %v", list, table, anything)
	}
}

func TestBind_JSONNamesEveryWrongFieldAtOnce(t *testing.T) {
	t.Parallel()
	type line struct {
		Item  string  `json:"item"`
		Price float64 `json:"price"`
		Count uint8   `json:"count"`
	}
	var order struct {
		Lines   []line            `json:"lines"`
		Address *Address          `json:"address"`
		Name    string            `json:"name"`
		Born    time.Time         `json:"born"`
		Paid    bool              `json:"paid"`
		Small   int8              `json:"small"`
		ID      int               `json:"id,string"`
		Notes   map[string]int    `json:"notes"`
		Free    any               `json:"free"`
		Labels  map[string]string `json:"labels"`
		Pair    [2]int            `json:"pair"`
		From    netip.Addr        `json:"from"`
		hidden
	}
	err := postJSON(`{
		"lines": [{"item": "a", "price": "cheap", "count": -1}, {"item": "b", "price": 1, "count": 2}, {"itme": "c", "count": 1.5}, 7],
		"address": "London", "name": "a\u0000b", "born": "yesterday", "paid": "yes", "small": 300, "id": 7,
		"notes": {"a": "b"}, "free": ["\u0000"], "labels": {"\u0000": "a"}, "pair": "x", "from": "nowhere", "admin": true, "name": "again",
		"hidden": {}
	}`).Bind(&order)
	got := wrongFields(t, err)
	for field, want := range map[string]string{
		"lines[0].price": "must be a number",
		"lines[0].count": "out of range",
		"lines[2].itme":  "is not a field here",
		"lines[2].count": "must be a whole number, not negative",
		"lines[3]":       "must be an object",
		"address":        "must be an object",
		"born":           "is not valid: ",
		"paid":           "must be true or false",
		"small":          "is out of range",
		"id":             "must be a whole number, in quotes",
		"notes":          "must be a whole number",
		"free":           "NUL",
		"labels":         "NUL",
		"pair":           "must be a list",
		"from":           "is not valid: ",
		"admin":          "is not a field here",
		"hidden":         "is not a field here",
		"name":           "is given twice",
	} {
		if !strings.Contains(got[field], want) {
			t.Errorf("%s: %q, want %q", field, got[field], want)
		}
		delete(got, field)
	}
	if len(got) > 0 {
		t.Errorf("also: %v", got)
	}
	if !strings.Contains(err.Error(), "name must not have a NUL character; ") {
		t.Errorf("%v does not name the NUL in name", err)
	}
	if len(order.Lines) != 4 || order.Lines[1].Price != 1 {
		t.Errorf("what is right was not filled: %+v", order)
	}
}

type hidden struct{}

func TestBind_JSONRefusesABodyThatIsNone(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{", `{"name": }`, `{"name": "a"} {}`, `{"name": "a"} x`, "<xml/>"} {
		var dst person
		err := postJSON(body).Bind(&dst)
		if !errors.Is(err, views.ErrBadRequest) || views.MessageOf(err) != "The JSON cannot be read." {
			t.Errorf("%q: %v, %q", body, err, views.MessageOf(err))
		}
	}
	for _, body := range []string{`[]`, `"text"`, `7`} {
		var dst person
		if got := wrongFields(t, postJSON(body).Bind(&dst)); got["the body"] != "must be an object" {
			t.Errorf("%q: %v", body, got)
		}
	}
}

func TestBind_JSONIsBounded(t *testing.T) {
	t.Parallel()
	type node struct {
		Children []node
		N        int
	}
	deep := strings.Repeat(`{"Children":[`, 2000) + `{"N":"x"}` + strings.Repeat(`]}`, 2000)
	var tree node
	if got := wrongFields(t, postJSON(deep).Bind(&tree)); len(got) != 1 {
		t.Errorf("a deep tree: %v", got)
	}
	var list []int
	wide := "[" + strings.Repeat(`"x",`, 500) + "1]"
	if got := wrongFields(t, postJSON(wide).Bind(&list)); len(got) != 100 {
		t.Errorf("a wide list: %d errors, want 100", len(got))
	}
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

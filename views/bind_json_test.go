package views_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/views"
)

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

package views_test

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/views"
)

// rows is a sequence of rows that cannot fail.
func rows[T any](all ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, row := range all {
			if !yield(row, nil) {
				return
			}
		}
	}
}

type (
	baseModel struct{} //nolint:unused // as bun.BaseModel
	audit     struct {
		CreatedAt time.Time
		secret    string //nolint:unused // no column
	}
	origin struct{ Country, City string }
	level  int
	money  struct{ cents int64 }
	broken struct{}
)

func (l level) String() string { return "level " + strings.Repeat("I", int(l)) }

func (m *money) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d.%02d", m.cents/100, m.cents%100), nil
}

// strange is a Valuer that gives what is no driver.Value.
type strange struct{}

func (strange) Value() (driver.Value, error) { return sale{}, nil }

// stamp is a Valuer of a time.
type stamp struct{ at time.Time }

func (s stamp) Value() (driver.Value, error) { return s.at, nil }

func (broken) Value() (driver.Value, error) { return nil, errBroken }

type sale struct {
	baseModel `bun:"table:sales"` //nolint:unused // no column
	ID        int64
	RegionID  uint16 `csv:"region"`
	Item      string
	UnitPrice money
	Discount  *float64
	Paid      bool
	Level     level
	Note      sql.NullString
	Weight    sql.Null[float64]
	From      netip.Addr
	Raw       []byte
	Took      time.Duration
	Region    *struct{} `csv:"-"`
	audit
	*origin
	Shipped *time.Time
}

func TestCSV_WritesTheFieldsOfAStruct(t *testing.T) {
	t.Parallel()
	half, at := 0.5, time.Date(2026, 2, 3, 4, 5, 6, 7e6, time.UTC)
	got, err := collect(t, views.CSV(rows(
		sale{
			ID: 1, RegionID: 2, Item: `say "hi", twice`, UnitPrice: money{1999}, Discount: &half, Paid: true, Level: 2,
			Note: sql.NullString{String: "n", Valid: true}, Weight: sql.Null[float64]{V: 1e6, Valid: true},
			From: netip.MustParseAddr("::1"), Raw: []byte("raw"), Took: time.Second,
			audit: audit{CreatedAt: at}, origin: &origin{"Norge", "Bodø"}, Shipped: &at,
		},
		sale{ID: -2},
	)))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"id,region,item,unit_price,discount,paid,level,note,weight,from,raw,took,created_at,country,city,shipped\n" +
			`1,2,"say ""hi"", twice",19.99,0.5,true,level II,n,1000000,::1,raw,1s,2026-02-03T04:05:06.007Z,Norge,Bodø,2026-02-03T04:05:06.007Z` + "\n",
		"-2,0,,0.00,,false,level ,,,,,0s,,,,\n",
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestCSV_AChunkIsARow(t *testing.T) {
	t.Parallel()
	type row struct{ HTTPServer, ID, RegionID2, X_y string } //nolint:revive // names to be written in snake case
	got, err := collect(t, views.CSV(rows(&row{"a", "b", "c", "d"}, &row{})))
	if want := []string{"http_server,id,region_id2,x_y\na,b,c,d\n", ",,,\n"}; err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	got, err = collect(t, views.CSV(rows([]string{"a", "b,c"}, []string{"d"})))
	if want := []string{"a,\"b,c\"\n", "d\n"}; err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("[]string: %q, %v, want %q", got, err, want)
	}
}

func TestCSV_WithoutRowsIsItsHeader(t *testing.T) {
	t.Parallel()
	if got, err := collect(t, views.CSV(rows[origin]())); err != nil || strings.Join(got, "|") != "country,city\n" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := collect(t, views.CSV(rows[[]string]())); err != nil || got != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCSV_ASourceThatFailsAtOnceSendsNothing(t *testing.T) {
	t.Parallel()
	recorder, err := respond(t, nil, views.StreamingResponse{Body: views.CSV(func(yield func(origin, error) bool) {
		yield(origin{}, errBroken)
	})})
	if !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
	wantNothingSent(t, recorder)
}

func TestCSV_ASourceThatFailsLaterEndsTheBody(t *testing.T) {
	t.Parallel()
	got, err := collect(t, views.CSV(func(yield func(origin, error) bool) {
		_ = yield(origin{"a", "b"}, nil) && yield(origin{}, errBroken)
	}))
	if !errors.Is(err, errBroken) || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCSV_StopsWithTheStream(t *testing.T) {
	t.Parallel()
	pulled := 0
	for range views.CSV(func(yield func(origin, error) bool) {
		for yield(origin{}, nil) {
			pulled++
		}
	}) {
		break
	}
	if pulled != 0 {
		t.Errorf("%d more rows were pulled", pulled)
	}
}

func TestCSV_RefusesWhatIsNoRow(t *testing.T) {
	t.Parallel()
	type nested struct{ Tags map[string]int }
	type dynamic struct{ Any any }
	for says, body := range map[string]iter.Seq2[[]byte, error]{
		"rows of int":               views.CSV(rows(1)),
		"rows of map[string]string": views.CSV(rows(map[string]string{})),
		"field Tags":                views.CSV(rows(nested{})),
		"field Any":                 views.CSV(rows(dynamic{})),
		"no exported field":         views.CSV(rows(struct{}{})),
		"nil *views_test.origin":    views.CSV(rows[*origin](nil)),
		`column "b"`:                views.CSV(rows(struct{ B broken }{})),
		"is a views_test.sale":      views.CSV(rows(struct{ B strange }{})),
	} {
		got, err := collect(t, body)
		if got != nil {
			t.Errorf("%s: %q was sent", says, got)
		}
		wantError(t, err, "views: CSV: ", says)
	}
}

func TestCSV_NumbersAndTimesAreForSpreadsheets(t *testing.T) {
	t.Parallel()
	type row struct {
		F  float64
		G  float32
		At stamp
	}
	got, err := collect(t, views.CSV(rows(row{1e20, 0.1, stamp{time.Unix(0, 0).UTC()}}, row{1e21, 1e-7, stamp{}}, row{math.Inf(1), 0, stamp{}})))
	if want := "f,g,at\n100000000000000000000,0.1,1970-01-01T00:00:00Z\n|1e+21,1e-07,\n|+Inf,0,\n"; err != nil || strings.Join(got, "|") != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func TestCSV_ARowOfOneEmptyCellIsNotAnEmptyLine(t *testing.T) {
	t.Parallel()
	type row struct{ A string }
	got, err := collect(t, views.CSV(rows(row{""}, row{"x"})))
	if want := "a\n\"\"\n|x\n"; err != nil || strings.Join(got, "|") != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

package dbtest

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
)

// examValue has a column of every kind that both engines must keep.
type examValue struct {
	bun.BaseModel `bun:"table:exam_values"`

	ID     int64          `bun:",pk,autoincrement"`
	Number int64          `bun:",notnull"`
	Real   float64        `bun:",notnull"`
	Text   string         `bun:",notnull"`
	Flag   bool           `bun:",notnull"`
	At     time.Time      `bun:",notnull"`
	Bytes  []byte         `bun:",notnull"`
	JSON   map[string]any `bun:",notnull"`
	Null   *string
}

func (x *exam) roundTrip(t *testing.T) {
	moment := time.Date(2026, 2, 28, 23, 59, 59, 123456000, time.FixedZone("east", 2*60*60))
	values := []examValue{
		{Number: math.MaxInt64, Real: 0.1, Text: "häß \U0001F41F ' \" \\ ? %", Flag: true, At: moment, Bytes: []byte{0, 1, 0xff, '\''}, JSON: map[string]any{"a": []any{1.5, nil, "x"}}},
		{Number: math.MinInt64, Real: -1e300, Text: "", Flag: false, At: time.Unix(0, 0), Bytes: []byte{}, JSON: map[string]any{}},
	}
	conns := x.open(t, x.kept())
	run(t, conns, func(ctx context.Context, conn *db.Conn) error {
		if _, err := conn.NewCreateTable().Model((*examValue)(nil)).Exec(ctx); err != nil {
			return err
		}
		if _, err := conn.NewInsert().Model(&values).Exec(ctx); err != nil {
			return err
		}
		var read []examValue
		if err := conn.NewSelect().Model(&read).Order("id").Scan(ctx); err != nil {
			return err
		}
		expect(t, "rows", len(read), len(values))
		for i, got := range read {
			x.compare(t, got, values[i])
		}
		return nil
	})
}

func (x *exam) compare(t *testing.T, got, want examValue) {
	t.Helper()
	expect(t, "int64", got.Number, want.Number)
	expect(t, "float64", got.Real, want.Real)
	expect(t, "text", got.Text, want.Text)
	expect(t, "bool", got.Flag, want.Flag)
	expect(t, "null", got.Null, want.Null)
	if !got.At.Equal(want.At) {
		t.Errorf("time: %v, want %v", got.At, want.At)
	}
	if _, offset := got.At.Zone(); offset != 0 {
		t.Errorf("time zone: %v, want UTC", got.At)
	}
	if !bytes.Equal(got.Bytes, want.Bytes) {
		t.Errorf("bytes: %x, want %x", got.Bytes, want.Bytes)
	}
	gotJSON, err := json.Marshal(got.JSON)
	if err != nil {
		t.Error(err)
	}
	wantJSON, err := json.Marshal(want.JSON)
	if err != nil {
		t.Error(err)
	}
	expect(t, "json", string(gotJSON), string(wantJSON))
}

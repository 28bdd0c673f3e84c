package sales

import (
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/views"
)

// exported is one row of the export. Its fields are the columns.
type exported struct {
	bun.BaseModel `bun:"table:sales_sale,alias:sale" csv:"-"`

	ID        int64 `bun:",pk"`
	SoldAt    time.Time
	Region    string `bun:",scanonly"` // from the other table
	Product   string
	Quantity  int
	UnitPrice Cents
}

// Export streams every sale, of one region when the address says so. Whoever
// downloads slowly holds no connection: the lookup gives its connection back before
// the first byte, and Iterate leases one for each batch only.
func Export(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	region, err := findRegion(ctx, r.Query("region"))
	if err != nil {
		return nil, views.Or404(err)
	}
	q := db.From(ctx).NewSelect().
		ColumnExpr("?TableColumns, region.name AS region").
		Join("JOIN sales_region AS region ON region.id = sale.region_id")
	return views.StreamingResponse{
		ContentType: "text/csv; charset=utf-8",
		Header:      map[string][]string{"Content-Disposition": {`attachment; filename="sales.csv"`}},
		Body:        views.CSV(db.Iterate[exported](ctx, in(region, q))),
	}, nil
}

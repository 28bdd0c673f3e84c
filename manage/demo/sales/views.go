package sales

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/views"
)

// pageSize is how many sales one page of the list has.
const pageSize = 25

// List shows the newest sales, of one region when the address says so, and goes
// back in time from the sale in ?before=.
func List(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	before, err := parseBefore(r.Query("before"))
	if err != nil {
		return nil, err
	}
	region, err := findRegion(ctx, r.Query("region"))
	if err != nil {
		return nil, views.Or404(err)
	}
	regions, err := countByRegion(ctx)
	if err != nil {
		return nil, err
	}
	var page []Sale
	q := db.From(ctx).NewSelect().Model(&page).Relation("Region").OrderExpr("sale.id DESC").Limit(pageSize + 1)
	if before > 0 {
		q = q.Where("sale.id < ?", before)
	}
	if err := in(region, q).Scan(ctx); err != nil {
		return nil, err
	}
	list := listPage{Region: region, Regions: regions, Sales: page, Paged: before > 0}
	if len(page) > pageSize {
		list.Sales = page[:pageSize]
		list.Older = page[pageSize-1].ID
	}
	return views.Template{Name: "sales/list.html", Data: list}, nil
}

// listPage is what the list shows.
type listPage struct {
	Region  Region // the zero Region is all of them
	Regions []counted
	Sales   []Sale
	Paged   bool  // this is not the first page
	Older   int64 // where the next page begins, 0 on the last one
}

// All is the number of sales in all regions.
func (p listPage) All() counted {
	all := counted{Name: "All regions"}
	for _, region := range p.Regions {
		all.Sales += region.Sales
	}
	return all
}

// counted is a region with the number of its sales.
type counted struct {
	Slug  string
	Name  string
	Sales int64
}

// Count writes the number for people: 30,000.
func (c counted) Count() string { return grouped(c.Sales) }

// Detail shows one sale.
func Detail(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return nil, views.ErrNotFound
	}
	var sale Sale
	err = db.From(ctx).NewSelect().Model(&sale).Relation("Region").Where("sale.id = ?", id).Scan(ctx)
	if err != nil {
		return nil, views.Or404(err)
	}
	return views.Template{Name: "sales/detail.html", Data: sale}, nil
}

// OfTheMoment returns some sale, another one each second, and nil without any.
func OfTheMoment(ctx context.Context, now time.Time) (*Sale, error) {
	var sale Sale
	err := db.From(ctx).NewSelect().Model(&sale).Relation("Region").
		Where("sale.id > ?", now.Unix()*7919%Amount).OrderExpr("sale.id").Limit(1).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &sale, err
}

// findRegion finds a region by its slug. The empty one stands for all regions.
func findRegion(ctx context.Context, slug string) (Region, error) {
	var region Region
	if slug == "" {
		return region, nil
	}
	err := db.From(ctx).NewSelect().Model(&region).Where("slug = ?", slug).Scan(ctx)
	return region, err
}

// in narrows a query over sales to one region.
func in(region Region, q *bun.SelectQuery) *bun.SelectQuery {
	if region.ID == 0 {
		return q
	}
	return q.Where("sale.region_id = ?", region.ID)
}

func countByRegion(ctx context.Context) ([]counted, error) {
	var regions []counted
	err := db.From(ctx).NewSelect().
		TableExpr("sales_region AS region").
		Join("LEFT JOIN sales_sale AS sale ON sale.region_id = region.id").
		ColumnExpr("region.slug, region.name, count(sale.id) AS sales").
		GroupExpr("region.id, region.slug, region.name").
		OrderExpr("region.name").
		Scan(ctx, &regions)
	return regions, err
}

// parseBefore reads ?before=, which only links of the list itself have.
func parseBefore(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	before, err := strconv.ParseInt(text, 10, 64)
	if err != nil || before < 1 {
		return 0, &views.Error{Status: 400, Message: fmt.Sprintf("before=%q is no number of a sale.", text), Err: err}
	}
	return before, nil
}

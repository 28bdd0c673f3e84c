package sales

import (
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Region is where something was sold.
type Region struct {
	bun.BaseModel `bun:"table:sales_region,alias:region"`

	ID   int64  `bun:",pk,autoincrement"`
	Slug string // in addresses: "north-sea"
	Name string
}

// Sale is one line of the order book.
type Sale struct {
	bun.BaseModel `bun:"table:sales_sale,alias:sale"`

	ID        int64 `bun:",pk,autoincrement"`
	RegionID  int64
	Region    *Region `bun:"rel:belongs-to,join:region_id=id"`
	Product   string
	Quantity  int
	UnitPrice Cents
	SoldAt    time.Time
}

// Total is what the customer paid.
func (s Sale) Total() Cents { return Cents(s.Quantity) * s.UnitPrice }

// Cents is an amount of money. Whole numbers never round.
type Cents int64

// String writes the amount for machines: 1234.50.
func (c Cents) String() string { return fmt.Sprintf("%d.%02d", c/100, c%100) }

// Grouped writes it for people: 1,234.50.
func (c Cents) Grouped() string { return grouped(int64(c/100)) + fmt.Sprintf(".%02d", c%100) }

// grouped puts a comma before every three digits.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

package demo

import (
	"time"

	"github.com/goquintet/quintet/manage/demo/sales"
	"github.com/goquintet/quintet/views"
)

// tick is what the site says every second.
type tick struct {
	Time        time.Time   `json:"time"`
	Connections connections `json:"connections"` // in use by others than this tick
	Sale        *soldTick   `json:"sale"`        // null while there are no sales
}

type soldTick struct {
	Product string `json:"product"`
	Region  string `json:"region"`
	Total   string `json:"total"`
}

// ticks sends a tick each second for as long as somebody listens, as server-sent
// events. Each makes a query, and holds a connection for just as long as that takes.
func ticks(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	return views.Events(func(yield func(views.Event[tick], error) bool) {
		for {
			now := tick{Time: time.Now(), Connections: connectionsNow(ctx)}
			sale, err := sales.OfTheMoment(ctx, now.Time)
			if err != nil {
				yield(views.Event[tick]{}, err)
				return
			}
			if sale != nil {
				now.Sale = &soldTick{Product: sale.Product, Region: sale.Region.Name, Total: sale.Total().Grouped()}
			}
			if !yield(views.Event[tick]{Data: now}, nil) {
				return // nobody listens any more
			}
			if err := views.Sleep(ctx, time.Second); err != nil {
				return // the same, or the site stops
			}
		}
	}), nil
}

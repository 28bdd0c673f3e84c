package app_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/signals/hub"
	"github.com/goquintet/quintet/views"
)

// How does a page show at once what happens, whichever process it happens in? The view
// that changes something says NOTIFY in its transaction. Each process listens on one
// connection while it has pages open, reads the row once for all of them, and hands it
// to their streams; none of these holds a connection. With SQLite, where there is one
// process, the hub has no source: a view publishes in db.OnCommit.
func Example_live() {
	_, _ = liveSite(app.Settings{Databases: map[string]db.Settings{"default": {Engine: "postgres", Name: "shop"}}})
}

type liveSale struct {
	bun.BaseModel `bun:"table:live_sales"`

	ID      int64  `bun:",pk,autoincrement" json:"id"`
	Product string `json:"product"`
}

func liveSite(settings app.Settings) (*app.Site, error) {
	return app.New(settings, app.Options{
		Engines: []db.Engine{postgres.Engine{}},
		Logger:  slog.New(slog.DiscardHandler),
		Routes: func(site *app.Site) {
			sold := postgres.Listen(site.Connections(), db.DefaultAlias, "sold")
			live := hub.New(site.Context(), hub.Map(sold, func(ctx context.Context, n postgres.Notification) (sale liveSale, err error) {
				err = site.Connections().Run(ctx, "sold", func(ctx context.Context) error {
					return db.From(ctx).NewSelect().Model(&sale).Where("id = ?", n.Payload).Scan(ctx)
				})
				return sale, err
			}))
			site.POST("/sales", sell)
			site.GET("/sales/live", func(r *views.Request) (views.Response, error) {
				sales, err := live.Subscribe(r.Context()) // first: what is read later lacks nothing that does not come
				if err != nil {
					return nil, err
				}
				return views.Events(func(yield func(views.Event[[]liveSale], error) bool) {
					if !yield(all(r.Context())) {
						return
					}
					for sale, err := range sales {
						event := views.Event[[]liveSale]{Event: "sale", Data: []liveSale{sale}}
						if errors.Is(err, hub.ErrGap) { // the database was away: begin anew
							event, err = all(r.Context())
						}
						if !yield(event, err) {
							return
						}
					}
				}), nil
			})
		},
	})
}

// sell stores a sale. Whoever listens hears of it when it is committed.
func sell(r *views.Request) (views.Response, error) {
	sale := liveSale{Product: r.FormValue("product")}
	err := db.Atomic(r.Context(), func(ctx context.Context) error {
		if _, err := db.From(ctx).NewInsert().Model(&sale).Returning("id").Exec(ctx); err != nil {
			return err
		}
		return postgres.Notify(ctx, db.DefaultAlias, "sold", strconv.FormatInt(sale.ID, 10))
	})
	return views.NoContent{}, err
}

// all is what a page begins with.
func all(ctx context.Context) (event views.Event[[]liveSale], err error) {
	event.Event, event.Data = "sales", []liveSale{}
	err = db.From(ctx).NewSelect().Model(&event.Data).Order("id").Scan(ctx)
	return event, err
}

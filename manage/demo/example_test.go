package demo_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/sqlite"
	"github.com/goquintet/quintet/views"
)

type Sale struct {
	bun.BaseModel `bun:"table:sale"`

	ID     int64 `bun:",pk,autoincrement"`
	Region string
	Cents  int64
}

// export answers with every sale of a region, however many there are, and however
// slowly they are read.
func export(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	sales := db.From(ctx).NewSelect().Where("region = ?", r.PathValue("region"))
	found, err := sales.Clone().Model((*Sale)(nil)).Exists(ctx) // the first query leases a connection
	if err != nil || !found {
		return nil, cmp.Or(err, views.ErrNotFound)
	}
	return views.StreamingResponse{ // before the first byte the connection goes home; then this runs
		ContentType: "text/csv",
		Body:        views.CSV(db.Iterate[Sale](ctx, sales)), // in batches: nothing is held in between
	}, nil
}

func shop(settings app.Settings) (*app.Site, error) {
	return app.New(settings, app.Options{
		Engines: []db.Engine{sqlite.Engine{}, postgres.Engine{}},
		Routes: func(site *app.Site) {
			site.GET("/sales/{region}/export.csv", export)
		},
	})
}

// The site of the README, asked for its export while it counts its connections.
func Example() {
	site, err := shop(app.Settings{
		Debug: true, LogLevel: slog.LevelError,
		Databases: map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer site.Close()
	err = site.Connections().Run(site.Context(), "fill", func(ctx context.Context) error {
		if _, err := db.From(ctx).NewCreateTable().Model((*Sale)(nil)).Exec(ctx); err != nil {
			return err
		}
		sales := []Sale{{Region: "lakes", Cents: 3800}, {Region: "alps", Cents: 650}, {Region: "lakes", Cents: 21000}}
		_, err := db.From(ctx).NewInsert().Model(&sales).Exec(ctx)
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	server := httptest.NewServer(site)
	defer server.Close()
	response, err := http.Get(server.URL + "/sales/lakes/export.csv")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println("in use with the headers sent:", site.Connections().Stats("default").InUse)
	body, err := io.ReadAll(response.Body)
	fmt.Print(string(body))
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// in use with the headers sent: 0
	// id,region,cents
	// 1,lakes,3800
	// 3,lakes,21000
}

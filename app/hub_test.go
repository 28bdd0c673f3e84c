package app_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// page is a browser's page that is open.
type page struct{ lines *bufio.Scanner }

func openPage(t *testing.T, server *httptest.Server) *page {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/sales/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return &page{bufio.NewScanner(response.Body)}
}

// next is the next event in words.
func (p *page) next(t *testing.T) string {
	t.Helper()
	var event []string
	for p.lines.Scan() {
		if p.lines.Text() == "" {
			return strings.Join(event, " ")
		}
		event = append(event, p.lines.Text())
	}
	t.Errorf("the page is closed after %q: %v", event, p.lines.Err())
	return ""
}

func TestLive_EveryPageOfEveryProcessSeesASaleAndNoneHoldsAConnection(t *testing.T) {
	t.Parallel()
	dbtest.Goroutines(t)
	database := dbtest.Database(t, dbtest.Postgres)
	database.MaxConnections, database.ConnMaxAge = 2, db.Forever
	conns := dbtest.Open(t, database)
	err := conns.Run(t.Context(), "create", func(ctx context.Context) error {
		_, err := db.From(ctx).NewCreateTable().Model((*liveSale)(nil)).Exec(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var sites [2]*app.Site // two processes, as far as the database can tell
	var servers [2]*httptest.Server
	var pages []*page
	for i := range sites {
		settings := anyHost()
		settings.Databases = map[string]db.Settings{"default": database}
		site, err := liveSite(settings)
		if err != nil {
			t.Fatal(err)
		}
		sites[i], servers[i] = site, httptest.NewServer(site)
		t.Cleanup(servers[i].Close)
		for range 20 {
			pages = append(pages, openPage(t, servers[i]))
		}
	}
	for _, p := range pages {
		equal(t, "the first event", p.next(t), "event: sales data: []")
	}
	sell := func(i int, product string) {
		t.Helper()
		response, err := servers[i].Client().PostForm(servers[i].URL+"/sales", url.Values{"product": {product}})
		if err != nil || response.StatusCode != http.StatusNoContent {
			t.Fatal(response, err)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	for n, product := range []string{"drum", "lute"} {
		sell(n, product)
		for _, p := range pages {
			equal(t, "the sale", p.next(t), fmt.Sprintf(`event: sale data: [{"id":%d,"product":"%s"}]`, n+1, product))
		}
	}
	for _, site := range sites {
		s := site.Connections().Stats("default")
		equal(t, "connections in use", s.InUse, 0)
		equal(t, "dedicated", s.Dedicated, 1)
	}

	// The server ends the sessions that listen, and no other: a query that a page has
	// under way would be lost. The pages stay, and begin anew.
	var ended []bool
	err = conns.Run(t.Context(), "end", func(ctx context.Context) error {
		return db.From(ctx).NewRaw("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'").Scan(ctx, &ended)
	})
	if err != nil || len(ended) != len(sites) {
		t.Fatalf("%d sessions listen: %v", len(ended), err)
	}
	for _, p := range pages {
		equal(t, "after the server was away", p.next(t), `event: sales data: [{"id":1,"product":"drum"},{"id":2,"product":"lute"}]`)
	}
	sell(0, "harp")
	for _, p := range pages {
		equal(t, "the sale", p.next(t), `event: sale data: [{"id":3,"product":"harp"}]`)
	}
	for _, site := range sites {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
		_, err := site.Connections().Dedicated(t.Context(), "default", "late")
		if !errors.Is(err, db.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

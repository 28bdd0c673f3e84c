package demo

import (
	"context"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/views"
)

// home is the welcome page.
func home(r *views.Request) (views.Response, error) {
	return views.Template{Name: "home.html", Data: connectionsNow(r.Context())}, nil
}

// clock is the page that listens to ticks.
func clock(*views.Request) (views.Response, error) {
	return views.Template{Name: "clock.html"}, nil
}

// connections are those of the default database at one moment.
type connections struct {
	InUse   int   `json:"in_use"`
	Idle    int   `json:"idle"`
	Waiting int   `json:"waiting"`
	Max     int   `json:"max"`
	Leases  int64 `json:"leases"`
}

func connectionsNow(ctx context.Context) connections {
	now := app.From(ctx).Connections().Stats(db.DefaultAlias)
	return connections{InUse: now.InUse, Idle: now.Idle, Waiting: now.Waiting, Max: now.Max, Leases: now.Leases}
}

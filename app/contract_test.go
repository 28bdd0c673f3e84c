package app_test

import (
	"context"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/admin"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

// The names that sites are written against: this file compiles, or a contract is
// broken.
var (
	_ http.Handler = (*app.Site)(nil)

	_ = app.Settings{
		Debug: true, SecretKey: app.Secret(""), AllowedHosts: []string{}, TrustedProxies: []netip.Prefix{}, Listen: "",
		Databases: map[string]db.Settings{},
	}
	_ func(paths ...string) (app.Settings, error) = app.Load

	_ = app.App{
		Name: "", Models: []any{}, Migrations: fs.FS(nil), Templates: fs.FS(nil), Static: fs.FS(nil),
		Routes: func(*app.Group) {}, Ready: func(*app.Site) error { return nil }, Checks: []app.Check{}, Commands: []app.Command{},
	}
	_           = app.Command{Name: "", Short: "", Run: func(context.Context, *app.Site, []string) error { return nil }}
	_ app.Check = func(*app.Site) []app.Problem {
		return []app.Problem{{ID: "", Level: slog.LevelWarn, Object: "", Message: "", Hint: "", Silenced: false}}
	}
	_ app.DatabaseCheck                                                = func(context.Context, *app.Site, string) []app.Problem { return nil }
	_ func(*app.Site) []app.Problem                                    = (*app.Site).Check
	_ func(*app.Site, context.Context, app.CheckOptions) []app.Problem = (*app.Site).CheckWith
	_ slog.Level                                                       = app.LevelCritical

	_ = app.Options{
		Engines: []db.Engine{}, Apps: []app.App{}, Routes: func(*app.Site) {},
		Middleware: []func(http.Handler) http.Handler{}, Logger: (*slog.Logger)(nil),
		OnConnect: func(context.Context, string, bun.IConn) error { return nil },
		OnQuery:   func(context.Context, string, db.Query) {},
		Templates: fs.FS(nil), Static: fs.FS(nil),
	}
	_ func(app.Settings, app.Options) (*app.Site, error) = app.New
	_ func(context.Context) *app.Site                    = app.From
	_ func(context.Context) string                       = app.RequestID
	_ func(*http.Request) netip.Addr                     = app.ClientIP
	_ func(*http.Request) string                         = app.Scheme

	_ func(string) app.RouteOption                            = app.Name
	_ func(...string) app.RouteOption                         = app.NonAtomic
	_ func() app.RouteOption                                  = app.RollbackOn5xx
	_ func(db.Lease) app.RouteOption                          = app.Lease
	_ func(func(views.View) views.View) app.RouteOption       = app.Use
	_ func(*app.Site, string, views.View, ...app.RouteOption) = (*app.Site).GET
	_ func(*app.Site, string, views.View, ...app.RouteOption) = (*app.Site).POST
	_ func(*app.Site, string, views.View, ...app.RouteOption) = (*app.Site).PUT
	_ func(*app.Site, string, views.View, ...app.RouteOption) = (*app.Site).PATCH
	_ func(*app.Site, string, views.View, ...app.RouteOption) = (*app.Site).DELETE
	_ func(*app.Site, string, views.View, ...app.RouteOption) = (*app.Site).Any
	_ func(*app.Site, string, ...app.RouteOption) *app.Group  = (*app.Site).Group
	_ func(*app.Site, string, app.App)                        = (*app.Site).Include

	_ func(*app.Group, string, views.View, ...app.RouteOption) = (*app.Group).GET
	_ func(*app.Group, string, views.View, ...app.RouteOption) = (*app.Group).POST
	_ func(*app.Group, string, views.View, ...app.RouteOption) = (*app.Group).PUT
	_ func(*app.Group, string, views.View, ...app.RouteOption) = (*app.Group).PATCH
	_ func(*app.Group, string, views.View, ...app.RouteOption) = (*app.Group).DELETE
	_ func(*app.Group, string, views.View, ...app.RouteOption) = (*app.Group).Any
	_ func(*app.Group, string, ...app.RouteOption) *app.Group  = (*app.Group).Group
	_ func(*app.Group, string, app.App)                        = (*app.Group).Include

	_ func(*app.Site) *signals.Bus                         = (*app.Site).Bus
	_ func(*app.Site) *db.Connections                      = (*app.Site).Connections
	_ func(*app.Site) app.Settings                         = (*app.Site).Settings
	_ func(*app.Site) *slog.Logger                         = (*app.Site).Logger
	_ func(*app.Site) context.Context                      = (*app.Site).Context
	_ func(*app.Site) []app.App                            = (*app.Site).Apps
	_ func(*app.Site) []app.Route                          = (*app.Site).Routes
	_ func(*app.Site) []app.Problem                        = (*app.Site).Check
	_ func(*app.Site) app.Stats                            = (*app.Site).Stats
	_ func(*app.Site) app.Status                           = (*app.Site).Status
	_ func(*app.Site) http.Handler                         = (*app.Site).Admin
	_ func(*app.Site) []admin.Folder                       = (*app.Site).AdminFolders
	_                                                      = app.Settings{AdminSockets: app.NoAdmin}
	_ func(*app.Site, string, ...any) (string, error)      = (*app.Site).Reverse
	_ func(*app.Site, http.Handler) http.Handler           = (*app.Site).Wrap
	_ func(*app.Site, http.ResponseWriter, *http.Request)  = (*app.Site).ServeHTTP
	_ func(*app.Site, context.Context) error               = (*app.Site).Run
	_ func(*app.Site, context.Context, net.Listener) error = (*app.Site).Serve
	_ func(*app.Site) error                                = (*app.Site).Close
	_ error                                                = app.ErrShutdown
	_ error                                                = (*app.WiringError)(nil)
	_ error                                                = (*app.ConfigError)(nil)
	_ error                                                = (*app.PanicError)(nil)
)

// Each name of the contract, used as a site uses it.
func TestContract(t *testing.T) {
	t.Parallel()
	calls := 0
	counts := app.Use(func(next views.View) views.View {
		return func(r *views.Request) (views.Response, error) {
			calls++
			return next(r)
		}
	})
	site := newSite(t, anyHost(), app.Options{Routes: func(s *app.Site) {
		s.GET("/", text("get"), app.Name("home"), app.Lease(db.LeaseTransaction), counts)
		s.POST("/", text("post"))
		s.PUT("/", text("put"))
		s.PATCH("/", text("patch"))
		s.DELETE("/", text("delete"))
		s.Any("/any", text("any"))
		s.Group("/group", counts).GET("/", text("group"))
		s.Include("/polls", app.App{Name: "polls", Routes: func(g *app.Group) { g.GET("/{id}", text("poll")) }})
	}})
	for _, test := range [][3]string{
		{"GET", "/", "get"}, {"POST", "/", "post"}, {"PUT", "/", "put"}, {"PATCH", "/", "patch"}, {"DELETE", "/", "delete"},
		{"TRACE", "/any", "any"}, {"GET", "/group/", "group"}, {"GET", "/polls/7", "poll"},
	} {
		equal(t, test[0]+" "+test[1], ask(site, test[0], test[1], nil).Body.String(), test[2])
	}
	equal(t, "calls through Use", calls, 2)
	wrapped := site.Wrap(http.NotFoundHandler())
	equal(t, "the wrapped handler", get(wrapped, "/").Code, 404)
}

package app

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/db"
)

// App is one part of a site: its models, its routes, its files. Django's
// AppConfig, as a value. Only the Name is needed.
type App struct {
	// Name is unique in the site, such as "polls". Django's app label.
	Name string
	// Models are pointers to the structs that bun maps, for commands that look at
	// them: (*Poll)(nil).
	Models []any
	// Migrations are the app's migration files.
	Migrations fs.FS
	// Templates are searched after those of the site and of the apps before this
	// one. By custom they lie in a folder of the app's name, "polls/list.html".
	Templates fs.FS
	// Static are files that a site in DEBUG serves under STATIC_URL, in the same
	// order as templates.
	Static fs.FS
	// Routes registers the routes of the app. It runs when the app is included,
	// [Site.Include], and not before.
	Routes func(*Group)
	// Ready runs at the end of [New], when the routes of the whole site are known.
	// It is the place to connect receivers to signals. An error of it is an error
	// of New. Django's AppConfig.ready.
	//
	// It runs in a scope: db.From(site.Context()) works until it returns. Commands
	// make a site too, migrate among them: a query here meets an empty database
	// sooner or later.
	Ready func(*Site) error
	// Checks look for mistakes that [New] cannot see; see [Site.Check].
	Checks []Check
	// DeployChecks look for what is fine in development and wrong in production:
	// "manage check --deploy" runs them.
	DeployChecks []Check
	// DatabaseChecks ask the databases that "manage check --database" names.
	DatabaseChecks []DatabaseCheck
	// Commands are added to those of package manage/commands.
	Commands []Command
}

// Command is a command of an app: Django's BaseCommand. The manage command of the
// site runs it in a scope of its own, with the arguments that follow its name.
type Command struct {
	Name  string // "close-polls"
	Short string // one line, for the help
	Run   func(ctx context.Context, site *Site, args []string) error
}

// Options are what a site is made of: what Django's settings module says about
// code. The zero value is a site that answers 404.
type Options struct {
	// Engines are what ENGINE in the settings may name.
	Engines []db.Engine
	// Apps are the parts of the site, in the order in which they are asked.
	// Django's INSTALLED_APPS.
	Apps []App
	// Routes registers the routes of the site: Django's urlpatterns.
	Routes func(*Site)
	// Middleware surrounds every request, those of [Site.Wrap] included; the first
	// is the outermost. Each is called once, by New, and once more for each Wrap.
	// What it adds to the context of the request reaches the view; the context
	// itself must stay. Django's MIDDLEWARE.
	Middleware []func(http.Handler) http.Handler
	// Logger hears of every request; nil is slog.Default(). LOG_LEVEL is applied
	// on top of its own level.
	Logger *slog.Logger
	// OnConnect prepares each new session of every alias; see [db.Options].
	OnConnect func(ctx context.Context, alias string, session bun.IConn) error
	// OnQuery hears of every statement of every alias; see [db.Options]. Its context
	// is that of the request: [RequestID] and [From] work.
	OnQuery func(ctx context.Context, alias string, q db.Query)
	// Templates are the site's own, searched before those of the apps.
	Templates fs.FS
	// Static are the site's own static files, looked for before those of the apps.
	Static fs.FS
}

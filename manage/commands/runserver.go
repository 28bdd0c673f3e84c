package commands

import (
	"context"
	"errors"
	"net"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

func (c *cli) runserverCommand() *cobra.Command {
	var noreload bool
	cmd := &cobra.Command{
		Use: "runserver [ADDRESS]", Short: "Serve the site for development", GroupID: groupDevelopment,
		Long: "Serve the site for development.\n\nThe address is a port or address:port; without one it is LISTEN in the settings.\n" +
			"When a file of the project changes, it is built again and takes over when it listens",
		Args: atMost(1), Annotations: map[string]string{needsSite: "yes"},
	}
	cmd.RunE = c.onSite(func(ctx context.Context, site *app.Site, args []string) error {
		return c.runserver(ctx, site, args, !noreload)
	})
	cmd.Flags().BoolVar(&noreload, "noreload", false, "serve what is built already, and watch no files")
	return cmd
}

func (c *cli) runserver(ctx context.Context, site *app.Site, args []string, reloading bool) error {
	settings := site.Settings()
	address, err := parseAddress(strings.Join(args, ""), settings.Listen)
	if err != nil {
		return err
	}
	if err := refuseNoHosts(settings); err != nil {
		return err
	}
	if c.env.child != nil {
		return c.serveChild(ctx, site)
	}
	if err := c.check(site); err != nil {
		return err
	}
	listener, err := listen(ctx, net.ListenConfig{}, address, c.env.Name+" runserver")
	if err != nil {
		return err
	}
	if err := c.warnOfPending(ctx, site); err != nil {
		return errors.Join(err, listener.Close())
	}
	c.sayf(c.env.Stdout, "Quintet %s, %s\n", version(), runtime.Version())
	c.sayf(c.env.Stdout, "Settings: %s\n", source(settings))
	if database := describe(site); database != "" {
		c.sayf(c.env.Stdout, "Database: %s\n", database)
	}
	serve := func() error { return site.Serve(ctx, listener) }
	if reloading && c.env.process { // what a test runs is no program of its own
		serve = c.prepareReload(ctx, site, listener, serve)
	}
	c.sayf(c.env.Stdout, "Serving at %s\n", c.out.paint(bold, visible(listener.Addr())))
	c.sayf(c.env.Stdout, "Quit with Ctrl-C.\n")
	return serve()
}

// warnOfPending looks into the default database, and so finds out as well whether
// it can be reached.
func (c *cli) warnOfPending(ctx context.Context, site *app.Site) error {
	names, err := pending(ctx, site)
	if err != nil || len(names) == 0 {
		return err
	}
	var apps []string
	for _, name := range names {
		if !slices.Contains(apps, name.App) {
			apps = append(apps, name.App)
		}
	}
	c.sayf(c.env.Stderr, "%s %d unapplied migrations of %s; the site may not work without them\n",
		c.err.paint(yellow, "warning:"), len(names), strings.Join(apps, ", "))
	c.sayf(c.env.Stderr, "%s run %s migrate\n", c.err.paint(cyan, "hint:"), c.env.Name)
	return nil
}

// source is the file that the settings come from, as far as they come from one.
func source(settings app.Settings) string {
	for _, key := range []string{"DEBUG", "DATABASES.default.ENGINE", "SECRET_KEY", "LISTEN", "ALLOWED_HOSTS"} {
		if file, _, ok := strings.Cut(settings.Origin(key), ":"); ok {
			return file
		}
	}
	return "made in Go"
}

// describe names the default database.
func describe(site *app.Site) string {
	s, ok := site.Connections().Settings(db.DefaultAlias)
	if !ok {
		return ""
	}
	where := s.Name
	if s.Host != "" {
		where += " at " + s.Host
	}
	return s.Engine + ", " + where
}

package commands

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/app"
)

// logsJSON annotates commands whose process logs for programs.
const logsJSON = "json"

func (c *cli) serveCommand() *cobra.Command {
	var ways listenWays
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the site in production", GroupID: groupProduction,
		Long: "Serve the site in production: no reload, a log of JSON lines on the standard error,\n" +
			"and an orderly end.\n\n" +
			"--addr, --unix and --fd may stand beside each other and more than once; without any\n" +
			"of them the address is LISTEN in the settings. The file of a unix socket is replaced\n" +
			"when nobody listens there, and removed at the end. --fd takes all sockets that\n" +
			"systemd has passed, --fd=NAME those of a FileDescriptorName=, --fd=3 a descriptor.\n\n" +
			"At SIGTERM or SIGINT nothing new is accepted, streams are told to end, and requests\n" +
			"have SHUTDOWN_TIMEOUT to finish. The status is 0 when all of them did, 1 when some\n" +
			"were cut off. A second signal ends the process at once.\n\n" +
			"A restart loses no connection while another process listens on the same socket, or\n" +
			"systemd keeps it. With --reuse-port it can: the kernel resets what waits to be\n" +
			"accepted when one of the processes ends",
		Args: ways.args, Annotations: map[string]string{needsSite: "yes", logsJSON: "yes"},
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := ways.validate(); err != nil {
			return err
		}
		return c.onSite(func(ctx context.Context, site *app.Site, _ []string) error {
			return c.serve(ctx, site, ways)
		})(cmd, args)
	}
	ways.flags(cmd.Flags())
	return cmd
}

func (c *cli) serve(ctx context.Context, site *app.Site, ways listenWays) error {
	settings, logger := site.Settings(), site.Logger()
	if err := refuseNoHosts(settings); err != nil {
		return err
	}
	if err := c.checkForLog(ctx, site); err != nil {
		return err
	}
	listeners, err := c.listeners(ctx, settings, ways)
	if err != nil {
		return err
	}
	logger.Info("serve: starting", "version", version(), "go", runtime.Version(), "settings", source(settings))
	warnOfSettings(logger, settings, listeners)
	warnOfUnapplied(ctx, logger, site)

	notify := func(ctx context.Context, state string) {
		if err := notifyManager(ctx, c.env.Getenv("NOTIFY_SOCKET"), state); err != nil {
			logger.Warn("serve: the service manager cannot be told", "state", state, "err", err)
		}
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		notify(serving, "STOPPING=1")
		stop()
	})()
	notify(ctx, "READY=1")

	// What goes wrong from here on is for those who read the log.
	if err := site.ServeAll(serving, listeners...); err != nil {
		for _, each := range parts(err) {
			logger.Error("serve: " + strings.TrimPrefix(each.Error(), "app: "))
		}
		return errSaid
	}
	logger.Info("serve: ended")
	return nil
}

// refuseNoHosts is Django's "You must set settings.ALLOWED_HOSTS if DEBUG is False".
func refuseNoHosts(settings app.Settings) error {
	if settings.Debug || len(settings.AllowedHosts) > 0 {
		return nil
	}
	return &Error{
		Problem: "ALLOWED_HOSTS is empty and DEBUG is false: every request would be refused",
		Hint:    fmt.Sprintf("say DEBUG: true or fill ALLOWED_HOSTS (DEBUG: %s)", settings.Origin("DEBUG")),
	}
}

// checkForLog is check for a command that logs for programs: what keeps the site from
// being served is told to people, the rest is logged.
func (c *cli) checkForLog(ctx context.Context, site *app.Site) error {
	problems := slices.DeleteFunc(site.Check(), func(p app.Problem) bool { return p.Silenced })
	if slices.ContainsFunc(problems, func(p app.Problem) bool { return p.Level >= slog.LevelError }) {
		return c.check(site)
	}
	for _, p := range problems {
		site.Logger().Log(ctx, p.Level, "serve: "+p.Message, "id", p.ID, "object", p.Object, "hint", p.Hint)
	}
	return nil
}

// warnOfSettings says what is right somewhere else.
func warnOfSettings(logger *slog.Logger, settings app.Settings, listeners []net.Listener) {
	if settings.Debug {
		logger.Warn("serve: DEBUG is true: clients see errors and settings",
			"hint", "say DEBUG: false", "from", settings.Origin("DEBUG"))
	}
	overUnix := slices.ContainsFunc(listeners, func(l net.Listener) bool { return l.Addr().Network() == "unix" })
	if overUnix && !slices.Contains(settings.TrustedProxies, app.UnixPeers()) {
		logger.Warn("serve: TRUSTED_PROXIES lacks unix: what the proxy says about clients is not believed",
			"hint", "say TRUSTED_PROXIES: [unix] when only the proxy can reach the socket", "from", settings.Origin("TRUSTED_PROXIES"))
	}
}

// warnOfUnapplied also finds out whether the database can be reached. A site is served
// without it: what needs none works, and the rest does as soon as the database is back.
func warnOfUnapplied(ctx context.Context, logger *slog.Logger, site *app.Site) {
	names, err := pending(ctx, site)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		logger.Error("serve: the migrations cannot be looked up", "err", err)
	case len(names) > 0:
		logger.Warn("serve: there are unapplied migrations; the site may not work without them",
			"migrations", len(names), "first", names[0].String(), "hint", "run migrate")
	}
}

package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/admin"
)

func (c *cli) readyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ready", Short: "Say whether the site is ready to serve", GroupID: groupProduction,
		Long: "Say whether the processes that serve the site are ready: none is stopping, and each\n" +
			"has an answer from every database within two seconds. For the HEALTHCHECK of an image\n" +
			"and for supervisors: the exit status is 1 when one is not ready, or when there is none.\n\n" +
			"Processes are asked over the sockets in ADMIN_SOCKETS, which only their own user can\n" +
			"reach",
		Args: atMost(0), Annotations: map[string]string{needsSite: "yes"},
		RunE: c.onSite(func(ctx context.Context, site *app.Site, _ []string) error { return c.ready(ctx, site) }),
	}
}

func (c *cli) ready(ctx context.Context, site *app.Site) error {
	found, err := admin.Processes(ctx, site.AdminFolders()...)
	if len(found) == 0 && err == nil {
		return nobody(site)
	}
	problems := make([]string, len(found))
	var all sync.WaitGroup
	for i, p := range found {
		all.Go(func() { problems[i] = unready(ctx, p) })
	}
	all.Wait()
	for i, p := range found {
		if problems[i] != "" {
			err = errors.Join(err, &Error{Problem: fmt.Sprintf("the process %d %s", p.PID, problems[i])})
			continue
		}
		if _, werr := fmt.Fprintf(c.env.Stdout, "The process %d is ready.\n", p.PID); werr != nil {
			return werr
		}
	}
	return err
}

// unready is why a process is not ready, "" when it is.
func unready(ctx context.Context, p admin.Process) string {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	_, err := p.Get(ctx, "/ready")
	answer, ok := errors.AsType[*admin.StatusError](err)
	switch {
	case err == nil:
		return ""
	case !ok || answer.Code != http.StatusServiceUnavailable:
		return "does not say how it is: " + strings.TrimPrefix(err.Error(), "admin: ")
	}
	var health app.Health
	if err := json.Unmarshal(answer.Body, &health); err != nil {
		return "does not say how it is: " + err.Error()
	}
	var why []string
	if health.Stopping {
		why = append(why, "it is stopping")
	}
	for _, d := range health.Databases {
		if !d.Working {
			why = append(why, fmt.Sprintf("the database %q has not answered since %s: %s", d.Alias, d.Since.Format(time.DateTime), d.Error))
		}
	}
	return "is not ready: " + strings.Join(why, "; ")
}

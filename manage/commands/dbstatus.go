package commands

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/admin"
)

const (
	// askLimit is how long a process, or a server, may take to answer.
	askLimit = 3 * time.Second
	// watchInterval is the time between two looks.
	watchInterval = time.Second
)

// statusOptions are the options of dbstatus.
type statusOptions struct {
	database    string
	watch, json bool
	advise      bool
	span        time.Duration // that an advice is about
}

func (c *cli) dbstatusCommand() *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use: "dbstatus", Short: "Show who holds which connection", GroupID: groupDatabase,
		Long: "Show who holds which connection: of every process that serves the site, how many\n" +
			"connections are open, idle and leased, who waits, and who holds one since when, from\n" +
			"which line, and how much of that time it was idle; and what the server says.\n\n" +
			"Processes are asked over the sockets in ADMIN_SOCKETS, which only their own user can\n" +
			"reach. The exit status is 1 when no process serves the site, or one does not answer",
		Args: atMost(0), Annotations: map[string]string{needsSite: "yes"},
		RunE: c.onSite(func(ctx context.Context, site *app.Site, _ []string) error { return c.dbstatus(ctx, site, o) }),
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.database, "database", "", "only the database `ALIAS`")
	flags.BoolVar(&o.watch, "watch", false, "show it again every second, until Ctrl-C")
	flags.BoolVar(&o.json, "json", false, "for programs: the same as JSON, with --watch one line each")
	flags.BoolVar(&o.advise, "advise", false, "how many connections the load needs, with and without early release")
	flags.DurationVar(&o.span, "for", 10*time.Second, "let processes that record nothing by now do it for this `TIME`, for --advise")
	c.completeFlag(cmd, "database", aliases)
	return cmd
}

func (c *cli) dbstatus(ctx context.Context, site *app.Site, o statusOptions) error {
	aliases := site.Connections().Aliases()
	if _, ok := site.Connections().Settings(o.database); o.database != "" && !ok || len(aliases) == 0 {
		return unknownAlias(site, o.database)
	}
	if o.database != "" {
		aliases = []string{o.database}
	}
	if o.advise {
		return c.advise(ctx, site, aliases, o)
	}
	if !o.watch {
		report, err := lookAround(ctx, site, aliases)
		return errors.Join(c.showReport(report, o, new(screen)), err)
	}
	display, ticker := c.screen(), time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		report, _ := lookAround(ctx, site, aliases) // what is wrong stands in the report
		if ctx.Err() != nil {
			return nil // that is how watching ends
		}
		if err := c.showReport(report, o, display); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// statusReport is what dbstatus has found: its JSON.
type statusReport struct {
	Time      time.Time        `json:"time"`
	Problems  []string         `json:"problems,omitempty"` // with looking for processes
	Processes []processReport  `json:"processes"`          // the oldest first
	Databases []databaseReport `json:"databases"`          // as the servers see them
}

// processReport is one process, or why it does not answer.
type processReport struct {
	PID    int         `json:"pid"`
	Socket string      `json:"socket"`
	Error  string      `json:"error,omitempty"`
	Status *app.Status `json:"status,omitempty"`
}

// lookAround asks all processes and all servers, at the same time. The error is what its
// user has to know beside the report.
func lookAround(ctx context.Context, site *app.Site, aliases []string) (statusReport, error) {
	report := statusReport{Time: time.Now(), Databases: make([]databaseReport, len(aliases))}
	errs := make([]error, 1+len(aliases))
	var all sync.WaitGroup
	for i, alias := range aliases {
		all.Go(func() {
			report.Databases[i], errs[1+i] = askDatabase(ctx, site, alias)
		})
	}
	report.Processes, errs[0] = askProcesses(ctx, site, aliases)
	all.Wait()
	for _, err := range parts(errs[0]) {
		if err != nil {
			problem, _ := splitHint(err)
			report.Problems = append(report.Problems, problem)
		}
	}
	return report, errors.Join(errs...)
}

func askProcesses(ctx context.Context, site *app.Site, aliases []string) ([]processReport, error) {
	found, err := admin.Processes(ctx, site.AdminFolders()...)
	reports := make([]processReport, len(found))
	var all sync.WaitGroup
	for i, p := range found {
		all.Go(func() { reports[i] = askProcess(ctx, p, aliases) })
	}
	all.Wait()
	slices.SortFunc(reports, func(a, b processReport) int {
		if a.Status != nil && b.Status != nil {
			return cmp.Or(a.Status.Process.Started.Compare(b.Status.Process.Started), cmp.Compare(a.PID, b.PID))
		}
		return cmp.Compare(a.PID, b.PID)
	})
	for _, r := range reports {
		if r.Error != "" {
			err = errors.Join(err, &Error{
				Problem: fmt.Sprintf("the process %d does not say how it is: %s", r.PID, r.Error),
				Hint:    "it may hang, or be stopped; its socket is " + r.Socket,
			})
		}
	}
	if len(reports) == 0 && err == nil {
		err = nobody(site)
	}
	return reports, err
}

// nobody explains that there is no process to ask.
func nobody(site *app.Site) error {
	settings, folders := site.Settings(), site.AdminFolders()
	switch {
	case settings.AdminSockets == app.NoAdmin:
		return &Error{
			Problem: "the processes of this site cannot be asked: ADMIN_SOCKETS is none",
			Hint:    fmt.Sprintf("name a folder there, and start them anew (ADMIN_SOCKETS: %s)", settings.Origin("ADMIN_SOCKETS")),
		}
	case len(folders) == 0:
		return &Error{Problem: "the processes of a site cannot be asked on this system", Hint: "it has no sockets with owners"}
	}
	var paths []string
	for _, folder := range folders {
		paths = append(paths, folder.String())
	}
	return &Error{
		Problem: "no process serves this site",
		Hint:    "those of other users and with other settings or another TMPDIR are not seen; theirs would be in " + strings.Join(paths, " or "),
	}
}

func askProcess(ctx context.Context, p admin.Process, aliases []string) processReport {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	report := processReport{PID: p.PID, Socket: p.Socket}
	body, err := p.Get(ctx, "/status")
	var status app.Status
	if err == nil {
		err = json.Unmarshal(body, &status)
	}
	if err != nil {
		report.Error = strings.TrimPrefix(err.Error(), "admin: ")
		return report
	}
	status.Databases = slices.DeleteFunc(status.Databases, func(d app.DatabaseStatus) bool { return !slices.Contains(aliases, d.Alias) })
	report.PID, report.Status = status.Process.PID, &status
	return report
}

// showReport writes one report, for people or for programs.
func (c *cli) showReport(report statusReport, o statusOptions, display *screen) error {
	if o.json {
		encoder := json.NewEncoder(c.env.Stdout)
		encoder.SetEscapeHTML(false)
		if !o.watch {
			encoder.SetIndent("", "  ")
		}
		return encoder.Encode(report)
	}
	lines := strings.Split(strings.TrimSuffix(c.describeReport(report, o.watch), "\n"), "\n")
	return display.show(c.env.Stdout, lines)
}

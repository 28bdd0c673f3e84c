package commands

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/db/postgres/server"
)

// envRequire names what the tests must not skip.
const envRequire = "QUINTET_REQUIRE"

// requirable are the programs without which tests are skipped.
func requirable() []string { return []string{"postgres", "pgbouncer", "nginx", "systemd"} }

func (c *cli) testCommand() *cobra.Command {
	var (
		require []string
		slowest int
	)
	cmd := &cobra.Command{
		Use: "test [PACKAGES] [-- FLAGS]", Short: "Run the tests, with a private PostgreSQL for all of them", GroupID: groupDevelopment,
		Long: "Run the tests: \"go test\" with the packages (./... without any) and the flags, such\n" +
			"as -- -race -run Export.\n\n" +
			"When PostgreSQL is installed, one private server is started for all packages and\n" +
			"removed afterwards; nobody's database is touched. Otherwise its tests are skipped.\n" +
			"Skipped tests are counted by their reason",
		RunE: func(cmd *cobra.Command, args []string) error {
			packages, flags := args, []string(nil)
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				packages, flags = args[:dash], args[dash:]
			}
			return c.test(cmd.Context(), packages, flags, require, slowest)
		},
	}
	cmd.Flags().IntVar(&slowest, "slowest", 5, "show the `N` slowest tests of those that take 0.1s or more")
	cmd.Flags().StringSliceVar(&require, "require", nil, "fail instead of skip without `NAME` ("+strings.Join(requirable(), ", ")+")")
	return cmd
}

func (c *cli) test(ctx context.Context, packages, flags, require []string, slowest int) (err error) {
	if i := slices.IndexFunc(require, func(name string) bool { return !slices.Contains(requirable(), name) }); i >= 0 {
		return misuse("say --require="+strings.Join(requirable(), ", --require="), "nothing can be required by the name %q", require[i])
	}
	if slowest < 0 {
		return misuse("say 0 for none", "--slowest %d is negative", slowest)
	}
	if _, err := exec.LookPath("go"); err != nil {
		return &Error{Problem: "go is not installed, or not in PATH", Hint: "install it: https://go.dev/dl/", Err: err}
	}
	environ := os.Environ()
	if len(require) > 0 {
		environ = append(environ, envRequire+"="+strings.Join(require, ","))
	}
	postgres, err := startPostgres(ctx)
	switch {
	case errors.Is(err, server.ErrNotInstalled) && slices.Contains(require, "postgres"):
		return &Error{Problem: err.Error(), Hint: "leave --require=postgres out to skip its tests", Err: err}
	case errors.Is(err, server.ErrNotInstalled):
		postgres = nil
	case err != nil:
		return err
	default:
		defer func() { err = errors.Join(err, postgres.Stop()) }()
		environ = append(environ, postgres.Env())
	}

	report := newReport(c.env.Stdout, c.out, slices.Contains(flags, "-v"), slowest)
	failed := c.goTest(ctx, packages, flags, environ, report)
	report.close()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case report.failed == 0 && !report.broken && failed != nil:
		return &Error{Problem: "go test: " + failed.Error(), Hint: "its own words are above", Err: failed}
	case report.failed > 0 || report.broken:
		return errSaid
	}
	return nil
}

// startPostgres starts a server, unless another process has handed one on.
func startPostgres(ctx context.Context) (*server.Server, error) {
	if borrowed, found, err := server.FromEnv(); found || err != nil {
		return borrowed, err
	}
	// Packages run beside each other, and each test may have pools of its own.
	return server.Start(ctx, server.Options{Settings: map[string]string{"max_connections": "400"}})
}

// goTest runs "go test" and reports its events as they come.
func (c *cli) goTest(ctx context.Context, packages, flags, environ []string, r *report) error {
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	args := slices.Concat([]string{"test", "-json"}, packages, flags)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env, cmd.Stderr = c.env.Dir, environ, c.env.Stderr
	// An interrupt lets go test stop the packages and remove what it has built.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := r.read(events)
	_, _ = io.Copy(io.Discard, events) // what follows an unreadable event must not block go test
	return errors.Join(readErr, cmd.Wait())
}

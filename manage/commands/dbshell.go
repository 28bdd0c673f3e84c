package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

func (c *cli) dbshellCommand() *cobra.Command {
	var alias string
	cmd := &cobra.Command{
		Use: "dbshell [-- ARGUMENTS]", Short: "Open the database's own shell", GroupID: groupDatabase,
		Long: "Open the database's own shell, psql or sqlite3, with the settings of the site. What\n" +
			"stands after -- is passed on to it, such as -- -c \"SELECT 1\"",
		Args: onlyAfterDashes, Annotations: map[string]string{needsSite: "yes"},
		RunE: c.onSite(func(ctx context.Context, site *app.Site, args []string) error {
			return c.dbshell(ctx, site, alias, args)
		}),
	}
	c.databaseFlag(cmd, &alias)
	return cmd
}

// onlyAfterDashes wants arguments for another program to be told apart from ours.
func onlyAfterDashes(cmd *cobra.Command, args []string) error {
	if dash := cmd.ArgsLenAtDash(); dash < 0 && len(args) > 0 || dash > 0 {
		return misuse("usage: "+cmd.Root().Use+" "+cmd.Use, "%s does not know what to do with %q", cmd.Name(), args[0])
	}
	return nil
}

func (c *cli) dbshell(ctx context.Context, site *app.Site, alias string, args []string) error {
	settings, ok := site.Connections().Settings(alias)
	if !ok {
		return unknownAlias(site, alias)
	}
	shell, err := shellOf(alias, settings, args)
	if err != nil {
		return err
	}
	path, err := c.lookPath(shell.program)
	if err != nil {
		return &Error{Problem: fmt.Sprintf("%s is not installed, or not in PATH", shell.program), Hint: "install it: apt-get install " + shell.from, Err: err}
	}
	if c.env.process { // an interrupt is the shell's: it cancels a query
		signal.Reset(os.Interrupt)
		unheard := make(chan os.Signal, 1)
		signal.Notify(unheard, os.Interrupt) // instead of ignoring it, which the shell would inherit
		defer signal.Stop(unheard)
	}
	cmd := exec.CommandContext(ctx, path, shell.args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Env = append(os.Environ(), shell.environ...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.env.Dir, c.env.Stdin, c.env.Stdout, c.env.Stderr
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return &Error{Problem: fmt.Sprintf("%s ended with the status %d", shell.program, exit.ExitCode()), Hint: "its own words are above"}
	}
	return err
}

// lookPath finds a program in the PATH of the environment.
func (c *cli) lookPath(program string) (string, error) {
	for _, dir := range strings.Split(c.env.Getenv("PATH"), string(os.PathListSeparator)) {
		if dir == "" {
			continue
		}
		if path, err := exec.LookPath(dir + string(os.PathSeparator) + program); err == nil {
			return path, nil
		}
	}
	return "", &exec.Error{Name: program, Err: exec.ErrNotFound}
}

// shell is the program that a database comes with, and how it is called.
type shell struct {
	program string
	from    string // the package that has it
	args    []string
	environ []string
}

// shellOf says how to call it. What is secret goes into the environment, which
// others on the machine cannot read, as the arguments of a process they can.
func shellOf(alias string, s db.Settings, args []string) (shell, error) {
	if s.Engine == "postgres" {
		return psql(s, args), nil
	}
	if s.Name == ":memory:" || strings.Contains(s.Name, "mode=memory") {
		return shell{}, &Error{Problem: fmt.Sprintf("the database %q is in memory: no other program can see it", alias), Hint: "name a file in DATABASES." + alias + ".NAME"}
	}
	return shell{program: "sqlite3", from: "sqlite3", args: append([]string{s.Name}, args...)}, nil
}

func psql(s db.Settings, args []string) shell {
	p := shell{program: "psql", from: "postgresql-client"}
	option := func(name, value string) {
		if value != "" {
			p.args = append(p.args, name, value)
		}
	}
	option("-U", s.User)
	option("-h", s.Host)
	if s.Port != 0 {
		option("-p", strconv.Itoa(s.Port))
	}
	option("-d", s.Name)
	p.args = append(p.args, args...)

	set := func(name, value string) {
		if value != "" {
			p.environ = append(p.environ, name+"="+value)
		}
	}
	set("PGPASSWORD", string(s.Password))
	for _, o := range []struct{ option, variable string }{
		{"service", "PGSERVICE"}, {"servicefile", "PGSERVICEFILE"}, {"passfile", "PGPASSFILE"},
		{"sslmode", "PGSSLMODE"}, {"sslrootcert", "PGSSLROOTCERT"}, {"sslcert", "PGSSLCERT"}, {"sslkey", "PGSSLKEY"},
		{"sslsni", "PGSSLSNI"}, {"sslnegotiation", "PGSSLNEGOTIATION"}, {"sslcertmode", "PGSSLCERTMODE"},
		{"channel_binding", "PGCHANNELBINDING"}, {"require_auth", "PGREQUIREAUTH"}, {"krbsrvname", "PGKRBSRVNAME"},
		{"target_session_attrs", "PGTARGETSESSIONATTRS"}, {"application_name", "PGAPPNAME"}, {"options", "PGOPTIONS"},
	} {
		set(o.variable, s.Options[o.option])
	}
	return p
}

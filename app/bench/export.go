package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/postgres/server"
)

// exports lets a slow client download a large table, in each mode of db.Iterate, from a
// process of its own, and prints for how long a connection was held and how much
// memory that process had.
func exports(ctx context.Context, out io.Writer, args []string) (err error) {
	flags := flag.NewFlagSet("export", flag.ContinueOnError)
	rows := flags.Int("rows", 2_000_000, "how many rows are exported")
	rate := flags.Int("rate", 1<<20, "how many bytes per second the slow client reads")
	modes := flags.String("modes", "keyset,spool,snapshot", "which modes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	srv, err := server.Start(ctx, server.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Stop()) }()
	if err := seedExport(ctx, srv, *rows); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d rows as CSV; the slow client reads %.2f MiB/s\n\n", *rows, float64(*rate)/(1<<20))
	fmt.Fprintf(out, "%-10s %-6s %9s %9s %9s %7s %8s %9s %10s\n", "mode", "client", "MiB", "seconds", "held s", "held", "leases", "longest", "resident")
	for _, mode := range strings.Split(*modes, ",") {
		for _, client := range []struct {
			name string
			rate int
		}{{"fast", 0}, {"slow", *rate}} {
			e, err := export(ctx, srv, mode, client.rate)
			if err != nil {
				return fmt.Errorf("%s, the %s client: %w", mode, client.name, err)
			}
			fmt.Fprintf(out, "%-10s %-6s %9.1f %9.1f %9.2f %6.1f%% %8d %8.3fs %6.1f MiB\n", mode, client.name, float64(e.bytes)/(1<<20),
				e.took.Seconds(), e.Held.Seconds(), 100*e.Held.Seconds()/e.took.Seconds(), e.Leases, e.Longest.Seconds(), float64(e.Resident)/(1<<20))
			if lines := *rows + 1; e.lines != lines { // and the header
				return fmt.Errorf("%s: the %s client has read %d lines, want %d", mode, client.name, e.lines, lines)
			}
		}
	}
	return nil
}

// exported is one download: what the client saw, and what the server says.
type exported struct {
	exportMeasured
	took  time.Duration
	bytes int64
	lines int
}

// export starts a process that serves, and downloads from it.
func export(ctx context.Context, srv *server.Server, mode string, rate int) (e exported, err error) {
	self, err := os.Executable()
	if err != nil {
		return e, err
	}
	cmd := exec.CommandContext(ctx, self, "serve-export", srv.Host, strconv.Itoa(srv.Port), srv.User, mode)
	cmd.Stderr = os.Stderr
	words, err := cmd.StdinPipe()
	if err != nil {
		return e, err
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		return e, err
	}
	if err := cmd.Start(); err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, words.Close(), cmd.Wait()) }()
	answer := json.NewDecoder(answers)
	var address string
	if err := answer.Decode(&address); err != nil {
		return e, err
	}
	began := time.Now()
	if e.bytes, e.lines, err = readAt(ctx, "http://"+address+"/export.csv", rate); err != nil {
		return e, err
	}
	e.took = time.Since(began)
	if _, err := io.WriteString(words, "measure\n"); err != nil {
		return e, err
	}
	return e, answer.Decode(&e.exportMeasured)
}

// readAt reads so many bytes per second, 0 is all of them at once, and counts.
func readAt(ctx context.Context, url string, rate int) (bytes int64, lines int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("the answer is %s", response.Status)
	}
	began := time.Now()
	in := bufio.NewReaderSize(response.Body, 16<<10)
	for {
		line, err := in.ReadSlice('\n')
		bytes += int64(len(line))
		if errors.Is(err, io.EOF) {
			return bytes, lines, nil
		} else if err != nil {
			return bytes, lines, err
		}
		lines++
		if rate == 0 || lines%128 != 0 {
			continue
		}
		due := time.Duration(float64(bytes) / float64(rate) * float64(time.Second))
		if ahead := due - time.Since(began); ahead > 5*time.Millisecond {
			time.Sleep(ahead)
		}
	}
}

// exportSettings are those of the database that is exported.
func exportSettings(host string, port int, user string) db.Settings {
	return db.Settings{
		Engine: "postgres", Name: "postgres", Host: host, Port: port, User: user, MaxConnections: 4,
		ConnMaxAge: db.Forever, ConnHealthChecks: true, Options: map[string]string{"sslmode": "disable"},
	}
}

// seedExport fills the table.
func seedExport(ctx context.Context, srv *server.Server, rows int) (err error) {
	conns, err := db.Open(map[string]db.Settings{"default": exportSettings(srv.Host, srv.Port, srv.User)}, db.Options{Engines: []db.Engine{postgres.Engine{}}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conns.Close(ctx)) }()
	return conns.Run(ctx, "seed", func(ctx context.Context) error {
		for _, query := range []string{
			"CREATE TABLE exported_sales (id bigint PRIMARY KEY, region text, product text, amount double precision, sold timestamptz)",
			fmt.Sprintf("INSERT INTO exported_sales SELECT n, 'region ' || n %% 16, 'product number ' || n %% 1000, n / 100.0, '2024-01-01'::timestamptz + n * interval '1 s' FROM generate_series(1, %d) AS n", rows),
			"VACUUM ANALYZE exported_sales",
		} {
			if _, err := db.From(ctx).ExecContext(ctx, query); err != nil {
				return err
			}
		}
		return nil
	})
}

//go:build unix

package telemetry_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/admin"
	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/manage/commands"
)

// read reads the page, dbstatus, the metrics and the log.
func (w *witness) read(ctx context.Context) (all []report) {
	w.T.Helper()
	processes, err := admin.Processes(ctx, w.Site.AdminFolders()...)
	if err != nil || len(processes) != 1 {
		w.T.Fatalf("on the admin socket are %v, %v", processes, err)
	}
	text, err := processes[0].Get(ctx, "/metrics")
	if err != nil {
		w.T.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		w.T.Fatal(err)
	}
	status, frame := w.dbstatus(ctx), w.frame(ctx, processes[0].Socket)
	for _, alias := range slices.Sorted(maps.Keys(status.databases)) {
		one := status.databases[alias]
		s := report{alias: alias, site: status.site, status: one, pageSite: frame.site, page: frame.databases[alias], families: families, lines: w.log.linesOf(alias)}
		for key, n := range frame.own {
			s.page[key] = n
		}
		all = append(all, s)
	}
	return all
}

// numbersOf are the numbers of one answer.
type numbersOf struct {
	site, own map[string]float64
	databases map[string]map[string]float64
}

type answered struct {
	Site      map[string]any
	Databases []map[string]any
	Streams   []any // of dbstatus
	Queue     []any // of the page
}

// decode takes the numbers out of a JSON object that dbstatus and the page have in
// common. Nobody holds or waits in it.
func (w *witness) decode(from string, body []byte) numbersOf {
	w.T.Helper()
	var a answered
	var own map[string]any
	if err := errors.Join(json.Unmarshal(body, &a), json.Unmarshal(body, &own)); err != nil {
		w.T.Fatalf("%s: %v: %s", from, err, body)
	}
	n := numbersOf{site: numeric(a.Site), own: numeric(own), databases: make(map[string]map[string]float64)}
	for _, d := range a.Databases {
		alias, _ := d["alias"].(string)
		n.databases[alias] = numeric(d)
		waiters, _ := d["waiters"].([]any)
		expect(w.T, from+": who waits for "+alias, len(waiters), 0)
		for _, c := range d["connections"].([]any) {
			if holder := c.(map[string]any)["holder"]; holder != nil {
				w.T.Errorf("%s: %s is held by %v", from, alias, holder)
			}
		}
	}
	expect(w.T, from+": databases", len(n.databases), 3)
	expect(w.T, from+": streams and who waits", len(a.Streams)+len(a.Queue), 0)
	return n
}

func numeric(object map[string]any) map[string]float64 {
	numbers := make(map[string]float64)
	for key, value := range object {
		if n, ok := value.(float64); ok {
			numbers[key] = n
		}
	}
	return numbers
}

// dbstatus is the command, run beside the process that serves.
func (w *witness) dbstatus(ctx context.Context) numbersOf {
	w.T.Helper()
	var out, problems bytes.Buffer
	status := commands.Run(ctx, commands.Env{
		Args: []string{"dbstatus", "--json"}, Stdout: &out, Stderr: &problems, Setenv: func(string, string) error { return nil },
		NewSite: func() (*app.Site, error) {
			return app.New(w.Settings, app.Options{Engines: w.Options.Engines, Logger: slog.New(slog.DiscardHandler)})
		},
	})
	var said struct {
		Processes []struct{ Status json.RawMessage }
	}
	// What it says of the databases themselves is not looked at: one of them is impatient.
	if err := json.Unmarshal(out.Bytes(), &said); err != nil || len(said.Processes) != 1 || len(said.Processes[0].Status) == 0 {
		w.T.Fatalf("dbstatus ends with %d: %v: %s%s", status, err, &out, &problems)
	}
	return w.decode("dbstatus", said.Processes[0].Status)
}

// frame is what the page is sent first.
func (w *witness) frame(ctx context.Context, socket string) numbersOf {
	w.T.Helper()
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+live.Root+"events", nil)
	if err != nil {
		w.T.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		w.T.Fatal(err)
	}
	defer response.Body.Close()
	for stream := bufio.NewReader(response.Body); ; {
		line, err := stream.ReadString('\n')
		if err != nil {
			w.T.Fatal(err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return w.decode("the page", []byte(data))
		}
	}
}

// lines is what the lines of the log add up to, of one alias and of the site.
type lines struct {
	requests, streams int64
	classes           [6]int64 // requests by the first digit of their status
	opened, closed    int64    // connections of the alias
}

// logReader reads the log as it is written: a line of JSON each time.
type logReader struct {
	queries atomic.Int64 // of requests

	mu      sync.Mutex // guards the rest
	site    lines
	aliases map[string]*lines
	totals  map[string]map[string]float64 // of the last lines, by alias; "" is the site
}

func newLogReader() *logReader {
	return &logReader{aliases: make(map[string]*lines), totals: make(map[string]map[string]float64)}
}

// Write implements [io.Writer].
func (l *logReader) Write(p []byte) (int, error) {
	var line struct {
		Msg     string
		Alias   string
		Status  int
		Queries int64
		Stream  bool
	}
	if err := json.Unmarshal(p, &line); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.aliases[line.Alias] == nil {
		l.aliases[line.Alias] = new(lines)
	}
	switch line.Msg {
	case "request":
		l.queries.Add(line.Queries)
		l.site.requests++
		l.site.classes[line.Status/100]++
		if line.Stream {
			l.site.streams++
		}
	case "db: opened a connection":
		l.aliases[line.Alias].opened++
	case "db: closing a connection":
		l.aliases[line.Alias].closed++
	case "app: stopped", "app: a database is closed":
		var all map[string]any
		if err := json.Unmarshal(p, &all); err != nil {
			return 0, err
		}
		l.totals[line.Alias] = numeric(all)
	}
	return len(p), nil
}

func (l *logReader) linesOf(alias string) lines {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.site
	if of := l.aliases[alias]; of != nil {
		all.opened, all.closed = of.opened, of.closed
	}
	return all
}

// last are the numbers of the last line of an alias.
func (l *logReader) last(alias string) map[string]float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals[alias]
}

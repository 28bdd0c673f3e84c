package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/signals"
	"github.com/goquintet/quintet/views"
)

// exportMeasured is what the process that serves an export says about it.
type exportMeasured struct {
	Held     time.Duration // of all leases together
	Longest  time.Duration
	Leases   int
	Resident int64 // bytes, at most since its start; 0 where it is not told
}

type exportedSale struct {
	bun.BaseModel `bun:"table:exported_sales"`

	ID      int64 `bun:",pk"`
	Region  string
	Product string
	Amount  float64
	Sold    time.Time
}

// serveExport is the process that export starts: it serves, and tells its numbers for
// each line on its standard input, until that ends.
func serveExport(ctx context.Context, in io.Reader, out io.Writer, args []string) (err error) {
	if len(args) != 4 {
		return errors.New("serve-export is for bench itself")
	}
	port, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	site, err := app.New(app.Settings{
		AllowedHosts: []string{"127.0.0.1"},
		Databases:    map[string]db.Settings{"default": exportSettings(args[0], port, args[2])},
	}, app.Options{
		Engines: []db.Engine{postgres.Engine{}},
		Logger:  slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Routes: func(site *app.Site) {
			site.GET("/export.csv", func(r *views.Request) (views.Response, error) {
				ctx := r.Context()
				q := db.From(ctx).NewSelect().Model((*exportedSale)(nil))
				mode := db.IterateMode(args[3])
				if mode != db.ModeKeyset {
					q = q.Order("id")
				}
				return views.StreamingResponse{ContentType: "text/csv", Body: views.CSV(db.Iterate[exportedSale](ctx, q, db.IterateOptions{Mode: mode}))}, nil
			})
		},
	})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var measured exportMeasured
	site.Bus().ConnectionReleased.Connect(func(_ context.Context, e signals.ConnectionReleased) error {
		mu.Lock()
		defer mu.Unlock()
		measured.Held += e.Held
		measured.Longest = max(measured.Longest, e.Held)
		measured.Leases++
		return nil
	})
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- site.Serve(ctx, l) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	answer := json.NewEncoder(out)
	if err := answer.Encode(l.Addr().String()); err != nil {
		return err
	}
	for words := bufio.NewScanner(in); words.Scan(); {
		mu.Lock()
		now := measured
		mu.Unlock()
		now.Resident = peakResident()
		if err := answer.Encode(now); err != nil {
			return err
		}
	}
	return nil
}

// peakResident is the most memory that this process had in the machine, where the
// system tells.
func peakResident() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kilobytes << 10
		}
	}
	return 0
}

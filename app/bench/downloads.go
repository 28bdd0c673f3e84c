package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

// transfer is one body, made by a stream of a site or by net/http alone.
type transfer struct {
	name  string
	path  string
	chunk []byte
	n     int
	bare  http.HandlerFunc
}

func (d *transfer) size() int64 { return int64(len(d.chunk)) * int64(d.n) }

// downloadsOf are a file of a GiB and ten million lines. Without a buffer, net/http
// would make a chunk of HTTP of each line; the 32 KiB of bufio are what one writes
// for it, and hold a line of a slow source back for as long as they like.
func downloadsOf(share float64) []transfer {
	large, lines := bytes.Repeat([]byte("x"), 32<<10), []byte("2026-02-03,region 7,item 42,19.99\n")
	of := func(n int) int { return max(1, int(float64(n)*share)) }
	all := []transfer{
		{name: "1 GiB in chunks of 32 KiB", path: "/large", chunk: large, n: of(32 << 10)},
		{name: "10 million lines of 34 bytes", path: "/lines", chunk: lines, n: of(10_000_000)},
	}
	for i := range all {
		d := &all[i]
		d.bare = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/csv")
			to := io.Writer(w)
			if len(d.chunk) < 32<<10 {
				buffered := bufio.NewWriterSize(w, 32<<10)
				defer buffered.Flush()
				to = buffered
			}
			for range d.n {
				if _, err := to.Write(d.chunk); err != nil {
					return
				}
			}
		}
	}
	return all
}

func newDownloads(all []transfer) (*app.Site, error) {
	return app.New(app.Settings{AllowedHosts: []string{"127.0.0.1"}, LogLevel: slog.LevelError}, app.Options{
		Logger: slog.New(slog.DiscardHandler),
		Routes: func(site *app.Site) {
			for _, d := range all {
				site.GET(d.path, func(*views.Request) (views.Response, error) {
					return views.StreamingResponse{ContentType: "text/csv", Body: func(yield func([]byte, error) bool) {
						for range d.n {
							if !yield(d.chunk, nil) {
								return
							}
						}
					}}, nil
				})
			}
			site.GET("/slow", func(r *views.Request) (views.Response, error) {
				return views.StreamingResponse{Body: slowLines(r.Context())}, nil
			})
		},
	})
}

// downloads compares the streams of a site with net/http, side by side: each pair one
// after the other, and the other one first in the next round.
func downloads(ctx context.Context, out io.Writer, args []string) (err error) {
	flags := flag.NewFlagSet("bench downloads", flag.ContinueOnError)
	rounds := flags.Int("rounds", 10, "how many rounds")
	share := flags.Float64("share", 1, "how much of each download, of 1")
	if err := flags.Parse(args); err != nil {
		return err
	}
	all := downloadsOf(*share)
	site, err := newDownloads(all)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	mux := http.NewServeMux()
	for _, d := range all {
		mux.HandleFunc(d.path, d.bare)
	}
	ours, closeOurs, err := serve(ctx, site)
	if err != nil {
		return err
	}
	defer closeOurs()
	theirs, closeTheirs, err := serve(ctx, mux)
	if err != nil {
		return err
	}
	defer closeTheirs()

	fmt.Fprintf(out, "%d rounds, %.0f%% of each download\n\n", *rounds, 100**share)
	for _, d := range all {
		m := match{name: d.name, stacks: []stack{{name: "quintet"}, {name: "net/http"}}}
		figures := make([][]figure, 2)
		for n := -1; n < *rounds; n++ { // the first round warms up
			for k := range 2 {
				i := (k + n + 1) % 2
				one, err := fetch(ctx, [...]string{ours, theirs}[i], &d)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", d.name, m.stacks[i].name, err)
				}
				if n >= 0 {
					figures[i] = append(figures[i], one)
				}
			}
		}
		reportDownload(out, m, figures)
	}
	return slowSource(ctx, out, ours)
}

func serve(ctx context.Context, handler http.Handler) (address string, stop func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}
	go server.Serve(l) //nolint:errcheck // it ends with Close
	return l.Addr().String(), func() { _ = server.Close() }, nil
}

// fetch downloads once, with a client that costs next to nothing: it counts what
// comes until the server closes.
func fetch(ctx context.Context, address string, d *transfer) (figure, error) {
	began, before := time.Now(), processorTime()
	conn, err := request(ctx, address, d.path)
	if err != nil {
		return figure{}, err
	}
	defer func() { _ = conn.Close() }()
	buffer, got := make([]byte, 64<<10), int64(0)
	for {
		n, err := conn.Read(buffer)
		got += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return figure{}, err
		}
	}
	if got < d.size() || got > d.size()+d.size()/50+1<<10 {
		return figure{}, fmt.Errorf("%d bytes came of %d", got, d.size())
	}
	took, spent := time.Since(began), processorTime()-before
	mib := float64(d.size()) / (1 << 20)
	return figure{rate: mib / took.Seconds(), cpu: float64(spent.Microseconds()) / mib}, nil
}

func request(ctx context.Context, address, path string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if _, err = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func reportDownload(out io.Writer, m match, figures [][]figure) {
	rate := func(f figure) float64 { return f.rate }
	cpu := func(f figure) float64 { return f.cpu }
	fmt.Fprintf(out, "%-38s %8s %8s %14s\n", m.name, "MiB/s", "best", "processor time")
	for i, s := range m.stacks {
		rates := each(figures[i], rate)
		fmt.Fprintf(out, "  %-36s %8.0f %8.0f %7.0f us/MiB\n", s.name, median(rates), slices.Max(rates), median(each(figures[i], cpu)))
	}
	fmt.Fprintf(out, "  quintet / %-26s %s %s\n\n", m.stacks[1].name, ratio(figures[0], figures[1], rate), ratio(figures[0], figures[1], cpu))
}

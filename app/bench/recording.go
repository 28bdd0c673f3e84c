package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db/postgres/server"
)

// recording compares a site whose live page is open with the same one that nobody looks
// at.
func recording(ctx context.Context, out io.Writer, args []string) (err error) {
	flags := flag.NewFlagSet("recording", flag.ContinueOnError)
	rounds := flags.Int("rounds", 20, "how many rounds")
	round := flags.Duration("round", time.Second, "how long each site is asked in a round")
	clients := flags.Int("clients", 8, "how many clients ask at once")
	if err := flags.Parse(args); err != nil {
		return err
	}
	srv, err := server.Start(ctx, server.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Stop()) }()
	rivals, err := newRivals(ctx, srv) // who make the table
	if err != nil {
		return err
	}
	defer rivals.close()
	watched, err := newSite(srv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, watched.Close()) }()
	frames, leave, err := look(ctx, watched)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d rounds of %s, %d clients; \"quintet\" has its live page open\n\n", *rounds, *round, *clients)
	for _, m := range []match{
		{"an empty request", "/empty", nil}, {"one query", "/query", nil}, {"one row by its id", "/row/", nil},
	} {
		m.stacks = []stack{{"quintet", watched}, {"nobody looks", rivals.site}}
		figures, err := m.play(ctx, *rounds, *round, *clients)
		if err != nil {
			return errors.Join(err, leave())
		}
		report(out, m, figures)
	}
	err = leave()
	fmt.Fprintf(out, "%d frames were read; kept at the end: %+v\n", *frames, watched.Recorder().Kept())
	return err
}

// look reads the stream of the live page of a site as a browser does, until leave is
// called, and counts its frames.
func look(ctx context.Context, site *app.Site) (frames *int, leave func() error, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	admin := &http.Server{Handler: site.Admin(), ReadHeaderTimeout: time.Second}
	go admin.Serve(l) //nolint:errcheck // it ends with Close
	ctx, cancel := context.WithCancel(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String()+live.Root+"events", nil)
	if err != nil {
		cancel()
		return nil, nil, errors.Join(err, admin.Close())
	}
	response, err := http.DefaultClient.Do(request) //nolint:bodyclose // leave closes it
	if err != nil {
		cancel()
		return nil, nil, errors.Join(err, admin.Close())
	}
	frames = new(int)
	var reading sync.WaitGroup
	reading.Go(func() {
		in := bufio.NewReaderSize(response.Body, 1<<20)
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 1 {
				*frames++
			}
		}
	})
	return frames, func() error {
		cancel()
		reading.Wait()
		return errors.Join(response.Body.Close(), admin.Close())
	}, nil
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/postgres"
	"github.com/goquintet/quintet/db/postgres/server"
	"github.com/goquintet/quintet/signals/hub"
)

// hubs measures the way from a NOTIFY to the last of many subscribers of one listener,
// before and after a restart of the server, beside one subscriber that never reads.
func hubs(ctx context.Context, out io.Writer, args []string) (err error) {
	flags := flag.NewFlagSet("hub", flag.ContinueOnError)
	subscribers := flags.Int("subscribers", 2000, "how many listen")
	notifications := flags.Int("notifications", 50, "how many they hear, one after the other")
	if err := flags.Parse(args); err != nil {
		return err
	}
	srv, err := server.Start(ctx, server.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Stop()) }()
	settings := exportSettings(srv.Host, srv.Port, srv.User)
	settings.Options["application_name"] = "bench hub"
	conns, err := db.Open(map[string]db.Settings{"default": settings}, db.Options{Engines: []db.Engine{postgres.Engine{}}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conns.Close(context.WithoutCancel(ctx))) }()
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()

	h := hub.New(ctx, postgres.Listen(conns, "default", "news"))
	if _, err := h.Subscribe(ctx); err != nil { // and never reads
		return err
	}
	heard, gaps := make(chan struct{}, *subscribers), make(chan struct{}, *subscribers)
	for range *subscribers {
		seq, err := h.Subscribe(ctx)
		if err != nil {
			return err
		}
		all.Go(func() {
			for _, err := range seq {
				switch {
				case errors.Is(err, hub.ErrGap):
					gaps <- struct{}{}
				case err == nil:
					heard <- struct{}{}
				}
			}
		})
	}
	fmt.Fprintf(out, "%d subscribers, %d connections of the server for them\n", *subscribers, conns.Stats("default").Dedicated)
	for _, when := range []string{"before", "after"} {
		took := make([]time.Duration, *notifications)
		for n := range took {
			began := time.Now()
			err := conns.Run(ctx, "notify", func(ctx context.Context) error { return postgres.Notify(ctx, "default", "news", fmt.Sprint(n)) })
			if err == nil {
				err = receive(ctx, heard, *subscribers)
			}
			if err != nil {
				return err
			}
			took[n] = time.Since(began)
		}
		slices.Sort(took)
		fmt.Fprintf(out, "%s a restart of the server: from NOTIFY to the last of them: median %s, worst %s\n", when, took[len(took)/2].Round(time.Microsecond), took[len(took)-1].Round(time.Microsecond))
		if when == "before" {
			began := time.Now()
			if err := srv.Restart(ctx, server.Fast); err != nil {
				return err
			}
			if err := receive(ctx, gaps, *subscribers); err != nil {
				return err
			}
			fmt.Fprintf(out, "the server restarts: all have heard of the gap after %s\n", time.Since(began).Round(time.Millisecond))
		}
	}
	return nil
}

// receive waits for so many, half a minute at most.
func receive(ctx context.Context, from <-chan struct{}, n int) error {
	limit := time.After(30 * time.Second)
	for i := range n {
		select {
		case <-from:
		case <-ctx.Done():
			return ctx.Err()
		case <-limit:
			return fmt.Errorf("%d of %d were reached within half a minute", i, n)
		}
	}
	return nil
}

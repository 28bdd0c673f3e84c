package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"github.com/goquintet/quintet/db/postgres/server"
)

func main() {
	if command := named(os.Args[1:]); command != nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		err := command(ctx, os.Stdout, os.Args[2:])
		stop()
		exit(err)
		return
	}
	rounds := flag.Int("rounds", 10, "how many rounds")
	round := flag.Duration("round", time.Second, "how long each stack is asked in a round")
	clients := flag.Int("clients", 8, "how many clients ask at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *rounds, *round, *clients)
	stop()
	exit(err)
}

func exit(err error) {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// named returns the comparison that the first argument names, or nil.
func named(args []string) func(ctx context.Context, out io.Writer, args []string) error {
	if len(args) == 0 {
		return nil
	}
	switch args[0] {
	case "export":
		return exports
	case "serve-export": // the process that exports starts
		return func(ctx context.Context, out io.Writer, args []string) error {
			return serveExport(ctx, os.Stdin, out, args)
		}
	case "hub":
		return hubs
	case "recording":
		return recording
	case "pool":
		return pools
	case "downloads":
		return downloads
	case "many":
		return many
	case "serve-many": // the process that many starts
		return func(ctx context.Context, out io.Writer, args []string) error {
			return serveMany(ctx, os.Stdin, out, args)
		}
	}
	return nil
}

// match is one comparison: ours first.
type match struct {
	name   string
	path   string
	stacks []stack
}

// stack is one way to serve the same answer.
type stack struct {
	name    string
	handler http.Handler
}

const connections = 10

func run(ctx context.Context, out io.Writer, rounds int, round time.Duration, clients int) (err error) {
	srv, err := server.Start(ctx, server.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Stop()) }()
	rivals, err := newRivals(ctx, srv)
	if err != nil {
		return err
	}
	defer rivals.close()
	fmt.Fprintf(out, "%d rounds of %s, %d clients, %d connections kept\n\n", rounds, round, clients, connections)
	for _, m := range rivals.matches() {
		figures, err := m.play(ctx, rounds, round, clients)
		if err != nil {
			return err
		}
		report(out, m, figures)
	}
	return nil
}

// figure is what one round of a stack gave.
type figure struct {
	rate float64 // answers per second
	cpu  float64 // microseconds of this process for one answer, those of its client included
}

// play returns, for each stack, its figure in each round.
func (m match) play(ctx context.Context, rounds int, round time.Duration, clients int) ([][]figure, error) {
	addresses := make([]string, len(m.stacks))
	for i, s := range m.stacks {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		server := &http.Server{Handler: s.handler, ReadHeaderTimeout: time.Second}
		go server.Serve(l) //nolint:errcheck // it ends with Close
		defer server.Close()
		addresses[i] = l.Addr().String()
	}
	figures := make([][]figure, len(m.stacks))
	for n := -1; n < rounds; n++ { // the first round warms up
		for k := range m.stacks {
			i := (k + n + 1) % len(m.stacks)
			before := processorTime()
			count, rate, err := ask(ctx, addresses[i], m.path, round, clients)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", m.name, m.stacks[i].name, err)
			}
			if n >= 0 {
				spent := processorTime() - before
				figures[i] = append(figures[i], figure{rate, float64(spent.Nanoseconds()) / 1000 / float64(count)})
			}
		}
	}
	return figures, nil
}

// ask has so many clients ask for so long, and returns how many answers came, in
// all and per second.
func ask(ctx context.Context, address, path string, d time.Duration, clients int) (total int, rate float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var wg sync.WaitGroup
	counts, errs := make([]int, clients), make([]error, clients)
	began := time.Now()
	for c := range clients {
		wg.Go(func() { counts[c], errs[c] = askAgain(ctx, address, path) })
	}
	wg.Wait()
	took := time.Since(began)
	for _, count := range counts {
		total += count
	}
	return total, float64(total) / took.Seconds(), errors.Join(errs...)
}

func report(out io.Writer, m match, figures [][]figure) {
	rate := func(f figure) float64 { return f.rate }
	cpu := func(f figure) float64 { return f.cpu }
	fmt.Fprintf(out, "%-38s %14s %18s\n", m.name, "requests/s", "processor time")
	for i, s := range m.stacks {
		fmt.Fprintf(out, "  %-36s %14.0f %15.1f us\n", s.name, median(each(figures[i], rate)), median(each(figures[i], cpu)))
	}
	for i, s := range m.stacks[1:] {
		fmt.Fprintf(out, "  quintet / %-26s %s %s\n", s.name, ratio(figures[0], figures[i+1], rate), ratio(figures[0], figures[i+1], cpu))
	}
	fmt.Fprintln(out)
}

// ratio is the median of the rounds' ratios, with their spread.
func ratio[F any](ours, theirs []F, of func(F) float64) string {
	ratios := make([]float64, len(ours))
	for n := range ratios {
		ratios[n] = of(ours[n]) / of(theirs[n])
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", median(ratios), slices.Min(ratios), slices.Max(ratios))
}

func each[F any](figures []F, of func(F) float64) []float64 {
	values := make([]float64, len(figures))
	for i, f := range figures {
		values[i] = of(f)
	}
	return values
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

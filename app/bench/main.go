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
	rounds := flag.Int("rounds", 10, "how many rounds")
	round := flag.Duration("round", time.Second, "how long each stack is asked in a round")
	clients := flag.Int("clients", 8, "how many clients ask at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *rounds, *round, *clients)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
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
		rates, err := m.play(ctx, rounds, round, clients)
		if err != nil {
			return err
		}
		report(out, m, rates)
	}
	return nil
}

// play returns, for each stack, its requests per second in each round.
func (m match) play(ctx context.Context, rounds int, round time.Duration, clients int) ([][]float64, error) {
	urls := make([]string, len(m.stacks))
	for i, s := range m.stacks {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		server := &http.Server{Handler: s.handler, ReadHeaderTimeout: time.Second}
		go server.Serve(l) //nolint:errcheck // it ends with Close
		defer server.Close()
		urls[i] = "http://" + l.Addr().String() + m.path
	}
	rates := make([][]float64, len(m.stacks))
	for n := -1; n < rounds; n++ { // the first round warms up
		for k := range m.stacks {
			i := (k + n + 1) % len(m.stacks)
			rate, err := ask(ctx, urls[i], round, clients)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", m.name, m.stacks[i].name, err)
			}
			if n >= 0 {
				rates[i] = append(rates[i], rate)
			}
		}
	}
	return rates, nil
}

// ask has so many clients ask for so long, and returns answers per second.
func ask(ctx context.Context, url string, d time.Duration, clients int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var wg sync.WaitGroup
	counts, errs := make([]int, clients), make([]error, clients)
	began := time.Now()
	for c := range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := get(client, url); err != nil {
					errs[c] = err
					return
				}
				counts[c]++
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	total := 0
	for c := range clients {
		if errs[c] != nil {
			return 0, errs[c]
		}
		total += counts[c]
	}
	return float64(total) / took.Seconds(), nil
}

func get(client *http.Client, url string) error {
	resp, err := client.Get(url) //nolint:noctx // bounded by the round
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || string(body) != "1" {
		return fmt.Errorf("%s: %s %q", url, resp.Status, body)
	}
	return nil
}

func report(out io.Writer, m match, rates [][]float64) {
	fmt.Fprintf(out, "%s\n", m.name)
	for i, s := range m.stacks {
		fmt.Fprintf(out, "  %-24s %8.0f requests/s (median)\n", s.name, median(rates[i]))
	}
	for i, s := range m.stacks[1:] {
		ratios := make([]float64, len(rates[0]))
		for n := range ratios {
			ratios[n] = rates[0][n] / rates[i+1][n]
		}
		fmt.Fprintf(out, "  quintet / %-18s %.2f (%.2f to %.2f)\n", s.name, median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
	fmt.Fprintln(out)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/goquintet/quintet/db/postgres/server"
)

// streamsLoad is how many streams there are, and what each is.
type streamsLoad struct {
	Streams  int
	Chunks   int
	Interval time.Duration
	Queries  int // per second, beside the streams
}

// The bounds of the load: it is one machine's.
const (
	maxStreams  = 20_000
	maxDuration = 2 * time.Minute // of one stack
)

func (l streamsLoad) validate() error {
	switch need := uint64(l.Streams) + 200; {
	case l.Streams < 1 || l.Streams > maxStreams:
		return fmt.Errorf("-streams %d: say 1 to %d", l.Streams, maxStreams)
	case l.Chunks < 2 || l.Interval <= 0 || time.Duration(l.Chunks)*l.Interval > maxDuration/2:
		return fmt.Errorf("-chunks %d, -interval %s: say at least 2, and no more than %s in all", l.Chunks, l.Interval, maxDuration/2)
	case l.Queries < 1 || l.Queries > 10_000:
		return fmt.Errorf("-queries %d: say 1 to 10000", l.Queries)
	case openFiles() < need: // the soft limit is raised by package os
		return fmt.Errorf("-streams %d needs %d open files, and this process may have %d: raise the limit with ulimit -n, or say fewer streams",
			l.Streams, need, openFiles())
	}
	return nil
}

// many is the command "bench many": many streams at once.
func many(ctx context.Context, out io.Writer, args []string) (err error) {
	var load streamsLoad
	flags := flag.NewFlagSet("many", flag.ContinueOnError)
	flags.IntVar(&load.Streams, "streams", 5000, "how many streams run at once")
	flags.IntVar(&load.Chunks, "chunks", 20, "how many chunks each has")
	flags.DurationVar(&load.Interval, "interval", 200*time.Millisecond, "how far the chunks are apart")
	flags.IntVar(&load.Queries, "queries", 400, "how many queries a second are asked beside them")
	rounds := flags.Int("rounds", 3, "how many rounds")
	profiles := flags.String("profiles", "", "a folder for a heap profile of each stack")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := load.validate(); err != nil {
		return err
	}
	srv, err := server.Start(ctx, server.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Stop()) }()
	fmt.Fprintf(out, "%d streams of %d chunks %s apart on %d connections, one query before each, %d queries a second beside them\n\n",
		load.Streams, load.Chunks, load.Interval, streamConnections, load.Queries)
	found := map[string][]streamsFigure{}
	for n := range *rounds {
		for i := range streamStacks() {
			name := streamStacks()[(i+n)%len(streamStacks())]
			figure, err := measureStreams(ctx, srv, name, load, *profiles)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			found[name] = append(found[name], figure)
			fmt.Fprintf(out, "%-8s %s\n", name, figure)
		}
	}
	memory := func(f streamsFigure) float64 { return f.perStream }
	kept := func(f streamsFigure) float64 { return f.kept }
	fmt.Fprintf(out, "\nmemory of a stream, quintet / echo: %s\n", ratio(found["quintet"], found["echo"], memory))
	fmt.Fprintf(out, "rate of the queries kept: quintet %.2f, echo %.2f\n", median(each(found["quintet"], kept)), median(each(found["echo"], kept)))
	return nil
}

// streamsFigure is what one round of a stack gave.
type streamsFigure struct {
	failed    int
	firstFail error
	open      int     // streams, when the memory was read
	inUse     int     // connections, then
	perStream float64 // bytes of heap and stacks for each of them
	resident  float64 // bytes of the process for each of them
	kept      float64 // of the rate of the queries
	alone     latency
	beside    latency
	took      time.Duration
}

func (f streamsFigure) String() string {
	s := fmt.Sprintf("%d failed; %d open, %d connections in use, %.1f KiB each (resident %.1f KiB); queries kept %.2f of their rate, p50 %s p99 %s, alone %s %s; %s",
		f.failed, f.open, f.inUse, f.perStream/1024, f.resident/1024, f.kept,
		round(f.beside.p50), round(f.beside.p99), round(f.alone.p50), round(f.alone.p99), f.took.Round(time.Millisecond))
	if f.firstFail != nil {
		s += "; the first failure: " + f.firstFail.Error()
	}
	return s
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// measureStreams runs one stack in a process of its own, so that its memory is its own.
func measureStreams(ctx context.Context, srv *server.Server, stack string, load streamsLoad, profiles string) (f streamsFigure, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxDuration)
	defer cancel()
	child, err := startStreamsServer(ctx, srv, stack)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, child.stop()) }()
	window := time.Duration(load.Chunks) * load.Interval / 2
	if f.alone, err = askPaced(ctx, child.address, load.Queries, window); err != nil {
		return f, err
	}
	empty, err := child.ask("measure")
	if err != nil {
		return f, err
	}
	began := time.Now()
	clients := openStreams(ctx, child.address, load)
	if err := clients.waitOpen(ctx); err != nil { // each has its first chunk, and waits for the gate
		return f, errors.Join(err, clients.failure())
	}
	if _, err := child.ask("go"); err != nil {
		return f, err
	}
	if f.beside, err = askPaced(ctx, child.address, load.Queries, window); err != nil {
		return f, err
	}
	what := "measure"
	if profiles != "" {
		what = "profile " + profiles
	}
	full, err := child.ask(what)
	if err != nil {
		return f, err
	}
	clients.wait()
	f.took = time.Since(began)
	f.failed, f.firstFail = clients.failed, clients.failure()
	f.open, f.inUse = full.Streams, full.InUse
	f.kept = f.beside.rate / f.alone.rate
	if f.open > 0 {
		f.perStream = (full.Memory - empty.Memory) / float64(f.open)
		f.resident = (full.Resident - empty.Resident) / float64(f.open)
	}
	return f, nil
}

// streamsServer is the process that serves.
type streamsServer struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
	address string
}

func startStreamsServer(ctx context.Context, srv *server.Server, stack string) (*streamsServer, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &streamsServer{cmd: exec.CommandContext(ctx, program, "serve-many", stack, srv.Host, fmt.Sprint(srv.Port), srv.User)}
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = json.NewDecoder(stdout)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.out.Decode(&s.address); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// ask gives the process a word and reads what it says about itself.
func (s *streamsServer) ask(word string) (m measured, err error) {
	if _, err := io.WriteString(s.in, word+"\n"); err != nil {
		return m, err
	}
	return m, s.out.Decode(&m)
}

func (s *streamsServer) stop() error { return errors.Join(s.in.Close(), s.cmd.Wait()) }

func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(p*float64(len(sorted)-1))]
}

// latency is how fast queries were answered.
type latency struct {
	rate     float64 // per second
	p50, p99 time.Duration
}

func newLatency(took []time.Duration, over time.Duration) latency {
	slices.Sort(took)
	return latency{float64(len(took)) / over.Seconds(), percentile(took, 0.5), percentile(took, 0.99)}
}

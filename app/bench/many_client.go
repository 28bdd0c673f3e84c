package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// streamClients read one stream each.
type streamClients struct {
	all  sync.WaitGroup
	open chan struct{} // one for each that has its first chunk, or never gets it
	n    int

	mu     sync.Mutex // guards the rest
	failed int
	first  error
}

// openStreams opens the streams, a hundred at a time.
func openStreams(ctx context.Context, address string, load streamsLoad) *streamClients {
	c := &streamClients{open: make(chan struct{}, load.Streams), n: load.Streams}
	slots := make(chan struct{}, 100)
	path := fmt.Sprintf("/stream?chunks=%d&interval=%s", load.Chunks, load.Interval)
	for range load.Streams {
		c.all.Go(func() {
			opened := false
			slots <- struct{}{}
			err := readStream(ctx, address, path, load.Chunks, func() {
				opened = true
				c.open <- struct{}{}
				<-slots
			})
			if !opened {
				c.open <- struct{}{}
				<-slots
			}
			if err != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.failed++
				if c.first == nil {
					c.first = err
				}
			}
		})
	}
	return c
}

// waitOpen waits until every stream has begun, or failed to.
func (c *streamClients) waitOpen(ctx context.Context) error {
	for range c.n {
		select {
		case <-c.open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (c *streamClients) wait() { c.all.Wait() }

func (c *streamClients) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first
}

// readStream reads one stream to its end, which must be a whole one.
func readStream(ctx context.Context, address, path string, chunks int, opened func()) (err error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 1<<10), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, response.Status)
	}
	lines := bufio.NewReaderSize(response.Body, 64)
	for n := range chunks {
		line, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("chunk %d: %w", n, err)
		}
		if want := chunkText(n); line != want {
			return fmt.Errorf("chunk %d is %q", n, line)
		}
		if n == 0 {
			opened()
		}
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		return fmt.Errorf("at the end there is %q: %w", rest, err)
	}
	return nil
}

// chunkText is what every stack sends.
func chunkText(n int) string { return "chunk " + strconv.Itoa(n) + strings.Repeat(".", 50) + "\n" }

// askPaced asks for /query at a steady pace, whatever the answers take, as people do
// who do not wait for each other, and returns how many were answered in that time.
func askPaced(ctx context.Context, address string, perSecond int, d time.Duration) (latency, error) {
	const clients = 16
	var wg sync.WaitGroup
	took, errs := make([][]time.Duration, clients), make([]error, clients)
	began := time.Now()
	pace := time.Second * clients / time.Duration(perSecond)
	for i := range clients {
		wg.Go(func() {
			took[i], errs[i] = askInTime(ctx, address, pace, began.Add(pace*time.Duration(i)/clients), began.Add(d))
		})
	}
	wg.Wait()
	var all []time.Duration
	for _, t := range took {
		all = append(all, t...)
	}
	return newLatency(all, max(d, time.Since(began))), errors.Join(errs...)
}

// askInTime is one client: it is due at a time, and later than that when the last
// answer was late; what is due after the end is not asked any more.
func askInTime(ctx context.Context, address string, pace time.Duration, due, end time.Time) (took []time.Duration, err error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	in := bufio.NewReader(conn)
	for ; due.Before(end); due = due.Add(pace) {
		if time.Now().After(end) {
			return took, nil
		}
		time.Sleep(time.Until(due))
		began := time.Now()
		if _, err := io.WriteString(conn, "GET /query HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
			return took, err
		}
		if err := readAnswer(in); err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"net/textproto"
	"slices"
	"strconv"
	"time"

	"github.com/goquintet/quintet/views"
)

// slowLines are lines that say when they were made: alone, and as bursts with a
// tail, which a buffer would keep.
func slowLines(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for i := range 100 {
			for range 1 + i%5*7 {
				if !yield(fmt.Appendf(nil, "%d\n", time.Now().UnixNano()), nil) {
					return
				}
			}
			if err := views.Sleep(ctx, 11*time.Millisecond); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// slowSource reports how long the lines of a slow source take to their client.
func slowSource(ctx context.Context, out io.Writer, address string) error {
	conn, err := request(ctx, address, "/slow")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	in := textproto.NewReader(bufio.NewReader(conn))
	var late []float64
	for {
		line, err := in.ReadLine()
		if err != nil {
			break // the end; how many came is looked at
		}
		if at, err := strconv.ParseInt(line, 10, 64); err == nil && len(line) == 19 {
			late = append(late, float64(time.Now().UnixNano()-at)/1e6)
		}
	}
	if want := 1500; len(late) != want {
		return fmt.Errorf("%d lines of the slow source came, want %d", len(late), want)
	}
	slices.Sort(late)
	fmt.Fprintf(out, "a line of a slow source is there after %.1f ms (median), %.1f ms (99 of 100), %.1f ms (the latest)\n",
		median(late), late[len(late)*99/100], late[len(late)-1])
	return nil
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
)

// askAgain asks over one connection until ctx ends, and returns how many answers
// came. A path that ends with a slash is completed by a number, each time another
// one. It is no client for anything else: it looks for what every right answer
// has, and costs the same whatever else the headers say. The clients share the
// machine with the servers, so that one that parses everything would measure
// itself.
func askAgain(ctx context.Context, address, path string) (n int, err error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var request []byte
	in := bufio.NewReader(conn)
	for ; ctx.Err() == nil; n++ {
		request = append(append(request[:0], "GET "...), path...)
		if strings.HasSuffix(path, "/") {
			request = strconv.AppendInt(request, rand.Int64N(rows), 10)
		}
		request = append(request, " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"...)
		if _, err := conn.Write(request); err != nil {
			return n, err
		}
		if err := readAnswer(in); err != nil {
			return n, fmt.Errorf("%s: %w", path, err)
		}
	}
	return n, nil
}

// readAnswer reads one answer, which must be 200 and "1".
func readAnswer(in *bufio.Reader) error {
	status, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answered with %q", status)
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	var body [16]byte
	if length > len(body) {
		return fmt.Errorf("answered with %d bytes", length)
	}
	if _, err := io.ReadFull(in, body[:length]); err != nil {
		return err
	}
	if string(body[:length]) != "1" {
		return fmt.Errorf("answered with %q", body[:length])
	}
	return nil
}

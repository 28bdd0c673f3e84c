package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// lookLimit is how long it may take to see whether somebody listens.
	lookLimit = time.Second
	// grown is the age at which a socket that never got its name is left behind.
	grown = time.Minute
	// mostBytes is how long an answer may be.
	mostBytes = 32 << 20
)

// Process is one that listens. One that serves several sites is there several times.
type Process struct {
	PID    int
	Socket string // its path
}

// Processes finds who listens in the folders, and removes the sockets of those who do
// no more. In folders that do not exist is nobody; folders that cannot be trusted
// are in the error, joined *[Error] values, and the others are looked into all the
// same.
func Processes(ctx context.Context, folders ...Folder) (found []Process, err error) {
	if !Supported {
		return nil, nil
	}
	for _, f := range folders {
		processes, problem := f.processes(ctx)
		if !errors.Is(problem, fs.ErrNotExist) {
			err = errors.Join(err, problem)
		}
		found = append(found, processes...)
	}
	return found, err
}

func (f Folder) processes(ctx context.Context) ([]Process, error) {
	for _, folder := range f.guarded() {
		if err := folder.private(); err != nil {
			return nil, err
		}
	}
	return f.sockets(ctx)
}

// sockets are those of the living; those of the dead are removed.
func (f Folder) sockets(ctx context.Context) (alive []Process, err error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, f.wrong(err)
	}
	for _, entry := range entries {
		p, ok := f.process(entry)
		if !ok || isBeingMade(entry) {
			continue
		}
		switch err := p.look(ctx); {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, syscall.ECONNREFUSED):
			_ = os.Remove(p.Socket) // or somebody else has
		case !strings.HasPrefix(entry.Name(), unnamed): // too busy to answer is alive, too
			alive = append(alive, p)
		}
	}
	slices.SortFunc(alive, func(a, b Process) int { return a.PID - b.PID })
	return alive, nil
}

// process reads the name of a socket. Other files are left alone.
func (f Folder) process(entry os.DirEntry) (Process, bool) {
	name, ok := strings.CutSuffix(strings.TrimPrefix(entry.Name(), unnamed), suffix)
	pid, _, named := strings.Cut(name, "-")
	n, err := strconv.Atoi(pid)
	isSocket := entry.Type()&fs.ModeSocket != 0
	return Process{PID: n, Socket: filepath.Join(f.path, entry.Name())}, ok && named && err == nil && n > 0 && isSocket
}

func isBeingMade(entry os.DirEntry) bool {
	info, err := entry.Info()
	return strings.HasPrefix(entry.Name(), unnamed) && (err != nil || time.Since(info.ModTime()) < grown)
}

// look sees whether somebody listens.
func (p Process) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	c, err := p.dial(ctx)
	if err != nil {
		return err
	}
	return c.Close()
}

func (p Process) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", p.Socket)
}

// Get asks the process for what it has at a path, such as "/status", and returns the
// body of its answer. The context bounds it. An answer whose status is not 200 is a
// *[StatusError], which has the body.
func (p Process) Get(ctx context.Context, path string) (body []byte, err error) {
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) },
		DisableKeepAlives: true,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, deaf(ctx, err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err = io.ReadAll(io.LimitReader(response.Body, mostBytes))
	switch {
	case err != nil:
		return nil, deaf(ctx, err)
	case response.StatusCode != http.StatusOK:
		return nil, &StatusError{Path: path, Status: response.Status, Code: response.StatusCode, Body: body}
	}
	return body, nil
}

// StatusError is an answer whose status is not 200.
type StatusError struct {
	Path   string
	Status string // "503 Service Unavailable"
	Code   int
	Body   []byte
}

// Error names the path and the status.
func (e *StatusError) Error() string {
	return fmt.Sprintf("admin: %s is answered with %s", e.Path, e.Status)
}

// deaf says in few words why there is no answer.
func deaf(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("admin: no answer in time: %w", ctx.Err())
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("admin: no answer: %w", err)
}

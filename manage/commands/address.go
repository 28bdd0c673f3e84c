package commands

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
)

// parseAddress reads the argument of runserver as Django does: a port, or an
// address and a port. What it leaves out comes from the other address.
func parseAddress(arg, other string) (string, error) {
	host, port, err := net.SplitHostPort(other)
	if err != nil {
		return "", err
	}
	switch {
	case arg == "":
	case isPort(arg):
		port = arg
	default:
		if host, port, err = net.SplitHostPort(arg); err != nil || !isPort(port) || !isHost(host) {
			return "", &Error{
				Problem: fmt.Sprintf("%q is no port and no address with a port", arg),
				Hint:    "say for example 8001, 127.0.0.1:8001 or [::1]:8001",
			}
		}
		if host == "0" { // Django's short way
			host = "0.0.0.0"
		}
	}
	return net.JoinHostPort(host, port), nil
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// isHost leaves the question whether a name exists to the resolver.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return !strings.ContainsAny(s, "/:@?# []%")
}

// listen binds the address, or says in plain words why that is not possible. The
// command is how to ask again, with another port behind it.
func listen(ctx context.Context, config net.ListenConfig, address, command string) (net.Listener, error) {
	l, err := config.Listen(ctx, "tcp", address)
	if err == nil {
		return l, nil
	}
	e := &Error{Problem: fmt.Sprintf("cannot listen at %s: %v", address, err), Err: err}
	var name *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e.Problem = address + " is in use: another program listens there"
		e.Hint = fmt.Sprintf("stop that program, or choose another port: %s %s", command, another(address))
	case errors.Is(err, syscall.EACCES):
		e.Problem = "this user may not listen at " + address
		e.Hint = fmt.Sprintf("choose a port above 1023: %s 8000", command)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.Problem = address + " is no address of this machine"
		e.Hint = "say 127.0.0.1 for this machine only, or 0.0.0.0 for all of its addresses"
	case errors.As(err, &name):
		e.Problem = fmt.Sprintf("no address is known for %q", name.Name)
		e.Hint = "say 127.0.0.1 for this machine only, or 0.0.0.0 for all of its addresses"
	}
	return nil, e
}

// another is the next port.
func another(address string) string {
	_, port, _ := net.SplitHostPort(address) // it has been parsed before
	n, _ := strconv.Atoi(port)
	return strconv.Itoa(min(n+1, 65535))
}

// visible is the URL that somebody on this machine can click on.
func visible(address net.Addr) string {
	host, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

package server

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
)

// EnvKey is the variable that hands a server on to other processes.
const EnvKey = "QUINTET_TEST_POSTGRES"

// URL is the address of one of the server's databases, for whatever takes a
// PostgreSQL URL.
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User(s.User), Host: net.JoinHostPort(s.Host, strconv.Itoa(s.Port)),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Env is the entry for the environment of a process that shall use this server:
//
//	cmd.Env = append(os.Environ(), srv.Env())
//
// It is a URL whose fragment is the folder of the unix socket.
func (s *Server) Env() string {
	return EnvKey + "=" + s.URL("postgres") + "#" + (&url.URL{Path: s.SocketDir}).EscapedPath()
}

// FromEnv returns the server that another process has handed on, and false when
// there is none. Stopping that server does nothing, and it has no log.
func FromEnv() (srv *Server, found bool, err error) {
	text := os.Getenv(EnvKey)
	if text == "" {
		return nil, false, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, false, fmt.Errorf("server: %s is no URL; unset it, or set it to what Server.Env says", EnvKey)
	}
	port, err := strconv.Atoi(u.Port())
	if _, password := u.User.Password(); err != nil || password || u.Scheme != "postgres" ||
		u.Hostname() == "" || u.User.Username() == "" {
		return nil, false, fmt.Errorf("server: %s=%q is no server to borrow; unset it, or set it to what Server.Env says (postgres://user@host:port)",
			EnvKey, u.Redacted())
	}
	return &Server{Host: u.Hostname(), Port: port, User: u.User.Username(), SocketDir: u.Fragment}, true, nil
}

package server_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/goquintet/quintet/db/postgres/server"
)

// How does a package of tests get one private server?
func ExampleStart() {
	// func TestMain(m *testing.M) {
	_ = func(m *testing.M) int {
		srv, found, err := server.FromEnv()
		if err == nil && !found {
			srv, err = server.Start(context.Background(), server.Options{
				Settings: map[string]string{"max_connections": "20"},
			})
		}
		switch {
		case errors.Is(err, server.ErrNotInstalled):
			fmt.Fprintln(os.Stderr, "without PostgreSQL:", err)
			return m.Run()
		case err != nil:
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer srv.Stop() // nothing happens to a server that is not ours
		return m.Run()
	}
}

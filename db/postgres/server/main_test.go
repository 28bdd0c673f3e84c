package server_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db/postgres/server"
)

// shared serves the tests that do not care which server they get; missing says why
// there is none.
var (
	shared  *server.Server
	missing error
)

// helper is the variable that makes this process the one that a test kills.
const helper = "QUINTET_SERVER_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helper) != "" {
		os.Exit(m.Run()) // TestKilledParent_LeavesNoServer wants no other server
	}
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	srv, err := server.Start(context.Background(), server.Options{})
	switch {
	case errors.Is(err, server.ErrNotInstalled):
		missing = err
		return m.Run()
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared = srv
	defer func() {
		if err := srv.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	return m.Run()
}

// installed skips a test on a machine without PostgreSQL, or fails it where
// PostgreSQL is required.
func installed(t *testing.T) {
	t.Helper()
	required := strings.Contains(os.Getenv("QUINTET_REQUIRE"), "postgres")
	switch {
	case missing != nil && required:
		t.Fatal(missing)
	case missing != nil:
		t.Skip(missing)
	}
}

// running returns the shared server.
func running(t *testing.T) *server.Server {
	t.Helper()
	installed(t)
	return shared
}

// start starts a server that ends with the test.
func start(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	installed(t)
	srv, err := server.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

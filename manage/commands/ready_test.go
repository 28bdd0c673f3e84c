//go:build unix

package commands_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/admin"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// served is a process that says of itself what the site does. Only its socket is real.
func served(t *testing.T, folder string, databases map[string]db.Settings) *app.Site {
	t.Helper()
	site, err := watched(t, folder, databases).NewSite()
	if err != nil {
		t.Fatal(err)
	}
	l, err := admin.At(folder).Listen()
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: site.Admin()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), site.Close()); err != nil {
			t.Error(err)
		}
		<-done
	})
	return site
}

func TestReady(t *testing.T) {
	t.Parallel()
	folder := sockets(t)
	proxy, settings := dbtest.NewProxy(t, dbtest.Database(t, dbtest.Postgres))
	settings.Password = "hunter2" // which the server does not ask for
	databases := map[string]db.Settings{"default": settings}
	env := watched(t, folder, databases)
	if r := run(t, env, "ready"); r.status != 1 || !strings.HasPrefix(r.errors, "error: no process serves this site\nhint: ") {
		t.Errorf("without a process: %+v", r)
	}
	site := served(t, folder, databases)
	if r := run(t, env, "ready"); r.status != 0 || r.errors != "" || !strings.HasSuffix(r.out, " is ready.\n") {
		t.Errorf("%+v", r)
	}
	proxy.Refuse()
	proxy.Reset()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for site.Health(t.Context()).Ready { // what it has heard a moment ago serves for a second
		select {
		case <-again.C:
		case <-t.Context().Done():
			t.Fatal("it stays ready")
		}
	}
	r := run(t, env, "ready")
	if r.status != 1 || r.out != "" || !strings.Contains(r.errors, `is not ready: the database "default" has not answered since 20`) || !strings.Contains(r.errors, "refused") {
		t.Errorf("without its database: %+v", r)
	}
	if strings.Contains(r.errors, "hunter2") {
		t.Errorf("it tells the password: %s", r.errors)
	}
}

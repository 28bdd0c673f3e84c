package app_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/views"
)

// Who finds no connection, or with SQLite no turn to write, is a client who may come
// back. Who holds what is for the log, and for the page when DEBUG.
func TestUnavailable_TheClientMayComeBackAndOnlyDebugTellsItWhy(t *testing.T) {
	t.Parallel()
	const secret = "a " + "secret" // the page of DEBUG shows source lines
	for _, debug := range []bool{false, true} {
		for engine, want := range map[string]string{dbtest.Postgres: "(exhausted)", dbtest.SQLite: "(locked)"} {
			t.Run(fmt.Sprintf("%s, DEBUG %t", engine, debug), func(t *testing.T) {
				t.Parallel()
				database := dbtest.Database(t, engine)
				database.ConnMaxAge, database.AcquireTimeout, database.MaxConnections = db.Forever, 3*time.Second, 1
				if engine == dbtest.SQLite {
					database.MaxConnections = 2 // it is the turn that lacks
				}
				settings := withDatabase(database)
				settings.Debug = debug
				holding, over := make(chan struct{}), make(chan struct{})
				insert := func(ctx context.Context) error {
					_, err := db.From(ctx).ExecContext(ctx, "INSERT INTO notes VALUES ('"+secret+"')")
					return err
				}
				s := play(t, settings, app.Options{Routes: func(s *app.Site) {
					s.POST("/import", func(r *views.Request) (views.Response, error) {
						return views.Text{Body: "done"}, db.Atomic(r.Context(), func(ctx context.Context) error {
							err := insert(ctx)
							holding <- struct{}{}
							<-over
							return err
						})
					})
					s.POST("/vote", func(r *views.Request) (views.Response, error) { return views.Text{Body: "done"}, insert(r.Context()) })
				}})
				if err := s.Connections().Run(t.Context(), "tables", func(ctx context.Context) error {
					_, err := db.From(ctx).ExecContext(ctx, "CREATE TABLE notes (text varchar(20))")
					return err
				}); err != nil {
					t.Fatal(err)
				}
				imported := make(chan int)
				go func() { imported <- ask(s, http.MethodPost, "/import", nil).Code }()
				<-holding
				w := ask(s, http.MethodPost, "/vote", nil)
				close(over)
				equal(t, "the one who held it", <-imported, 200)
				refused503(t, w.Code, w.Header())
				const holder = "POST /import held"
				if told := strings.Contains(w.Body.String(), holder) && strings.Contains(w.Body.String(), want); told != debug {
					t.Errorf("the client is told %q", w.Body.String())
				}
				logged := fmt.Sprint(s.journal.entries(t, "request"))
				for _, part := range []string{want, holder, "in a transaction", "app/unavailable_test.go:"} {
					if !strings.Contains(logged, part) {
						t.Errorf("the log does not say %q: %s", part, logged)
					}
				}
				if strings.Contains(w.Body.String()+logged, secret) {
					t.Error("the value of a statement is told")
				}
				equal(t, "the next one", ask(s, http.MethodPost, "/vote", nil).Code, 200)
			})
		}
	}
}

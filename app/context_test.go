package app_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/views"
)

// A request's context makes its channel when somebody asks for it. Whoever asks,
// and whenever, must get what any other context gives.
func TestContext_EndsWithTheRequest(t *testing.T) {
	t.Parallel()
	type key struct{}
	for name, early := range map[string]bool{"asked while it runs": true, "asked afterwards": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			given, children := make(chan context.Context, 1), make(chan context.Context, 1)
			site := newSite(t, anyHost(), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
				ctx := context.WithValue(r.Context(), key{}, "value")
				given <- ctx
				if err := ctx.Err(); err != nil {
					t.Errorf("the context begins with %v", err)
				}
				if early {
					child, cancel := context.WithTimeout(ctx, time.Hour)
					t.Cleanup(cancel)
					children <- child
				}
				return views.NoContent{}, nil
			})})
			get(site, "/")
			ctx := <-given
			if early {
				child := <-children
				<-child.Done()
				if !errors.Is(context.Cause(child), context.Canceled) {
					t.Errorf("the child ended with %v", context.Cause(child))
				}
			}
			if err := ctx.Err(); !errors.Is(err, context.Canceled) {
				t.Errorf("the context ended with %v", err)
			}
			<-ctx.Done()
			ended := make(chan struct{})
			context.AfterFunc(ctx, func() { close(ended) })
			<-ended
			if app.From(ctx) != site || ctx.Value(key{}) != "value" {
				t.Error("the context has lost its values")
			}
		})
	}
}

func TestContext_FollowsItsParent(t *testing.T) {
	t.Parallel()
	parent, cancel := context.WithCancelCause(t.Context())
	cancel(errScene)
	site := newSite(t, anyHost(), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
		ctx := r.Context()
		if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(context.Cause(ctx), errScene) {
			t.Errorf("before Done, the context ended with %v, %v", ctx.Err(), context.Cause(ctx))
		}
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(context.Cause(ctx), errScene) {
			t.Errorf("after Done, the context ended with %v, %v", ctx.Err(), context.Cause(ctx))
		}
		return views.NoContent{}, nil
	})})
	site.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(parent))
}

func TestContext_IsSharedByGoroutines(t *testing.T) {
	t.Parallel()
	for range 100 {
		var waiting sync.WaitGroup
		site := newSite(t, anyHost(), app.Options{Routes: oneRoute(func(r *views.Request) (views.Response, error) {
			for range 4 {
				waiting.Go(func() { <-r.Context().Done() })
			}
			return views.NoContent{}, nil
		})})
		get(site, "/")
		waiting.Wait()
	}
}

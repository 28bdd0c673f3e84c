package apptest_test

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db"
)

// The names that tests are written against: this file compiles, or a contract is
// broken.
var (
	_ func(testing.TB, func() (*app.Site, error), ...apptest.Option) *apptest.Site                    = apptest.New
	_ func(*testing.T, func() (*app.Site, error), func(*testing.T, *apptest.Site), ...apptest.Option) = apptest.Engines
	_ func(func(*app.Settings)) apptest.Option                                                        = apptest.Settings
	_ func(...string) apptest.Option                                                                  = apptest.Databases
	_ func(string) apptest.Option                                                                     = apptest.Engine
	_ func() apptest.Option                                                                           = apptest.RealCommits
	_ func(func(context.Context) error) apptest.Option                                                = apptest.Fixture

	_ func(*apptest.Site, func()) []apptest.Query                         = (*apptest.Site).Queries
	_ func(*apptest.Site) *apptest.Client                                 = (*apptest.Site).NewClient
	_ func(*apptest.Site, ...string) *apptest.LiveServer                  = (*apptest.Site).LiveServer
	_ func(s *apptest.Site) (*apptest.Client, context.Context, *app.Site) = func(s *apptest.Site) (*apptest.Client, context.Context, *app.Site) {
		return s.Client, s.Context, s.Site
	}

	_ interface {
		Get(string, ...apptest.RequestOption) *apptest.Response
		Head(string, ...apptest.RequestOption) *apptest.Response
		Post(string, ...apptest.RequestOption) *apptest.Response
		Put(string, ...apptest.RequestOption) *apptest.Response
		Patch(string, ...apptest.RequestOption) *apptest.Response
		Delete(string, ...apptest.RequestOption) *apptest.Response
		Do(*http.Request, ...apptest.RequestOption) *apptest.Response
		Stream(string, ...apptest.RequestOption) *apptest.Stream
		Cookies(string) []*http.Cookie
		SetCookies(string, ...*http.Cookie)
	} = (*apptest.Client)(nil)
	_ interface {
		Next() ([]byte, error)
		Chunks() iter.Seq2[[]byte, error]
		Events() iter.Seq2[apptest.Event, error]
		Close()
		Text() string
		JSON(any) error
		Template() apptest.Template
	} = (*apptest.Stream)(nil)

	_ = []apptest.RequestOption{
		apptest.Follow(), apptest.Header("", ""), apptest.Method(""), apptest.To(""), apptest.Body("", io.Reader(nil)),
		apptest.Form(url.Values{}), apptest.JSON(nil), apptest.Multipart(url.Values{}, apptest.File{Field: "", Name: "", ContentType: "", Content: nil}),
	}
	_ = apptest.Response{
		Response: (*http.Response)(nil), Content: []byte{}, Chunks: [][]byte{}, Broken: error(nil), Route: "", Err: error(nil),
		Templates: []apptest.Template{{Name: "", Data: nil}}, Queries: []apptest.Query{{Alias: "", Query: db.Query{}}}, Signals: []any{},
		ReleasedBeforeBody: true, Held: []db.Holder{}, RedirectChain: []apptest.Redirect{{StatusCode: 0, URL: ""}},
	}
)

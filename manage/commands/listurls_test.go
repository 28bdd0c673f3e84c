package commands_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/manage/commands"
	"github.com/goquintet/quintet/views"
)

func detail(*views.Request) (views.Response, error) { return views.NoContent{}, nil }

// box is a receiver whose methods are views.
type box struct{}

func (box) open(*views.Request) (views.Response, error) { return views.NoContent{}, nil }

func addressed(t *testing.T) commands.Env {
	return polls(t, func(_ *app.Settings, o *app.Options) {
		o.Apps[0].Routes = func(g *app.Group) {
			g.GET("/{id}/", detail, app.Name("poll"))
			g.POST("/{id}/", detail, app.Name("poll"))
			g.Group("/boxes").Any("/", box{}.open)
		}
		o.Routes = func(s *app.Site) {
			s.GET("/z", box{}.open)
			s.Include("/polls", o.Apps[0])
			s.GET("/", detail, app.Name("home"))
		}
	})
}

// unnumbered replaces numbers of lines.
func unnumbered(text string) string {
	return regexp.MustCompile(`listurls_test\.go:\d+ `).ReplaceAllString(text, "listurls_test.go:LN ")
}

// TestListurls_Default is Django's Listurls.test_default, with the methods, the place
// of the view and its app.
func TestListurls_Default(t *testing.T) {
	t.Parallel()
	r := run(t, addressed(t), "listurls")
	if r.status != 0 || r.errors != "" {
		t.Errorf("listurls: %+v", r)
	}
	golden(t, "listurls.txt", unnumbered(r.out))
}

// TestListurls_JSON is Django's test_json.
func TestListurls_JSON(t *testing.T) {
	t.Parallel()
	r := run(t, addressed(t), "listurls", "--format", "json", "--prefix", "/polls/{")
	var got []struct {
		Pattern, Name, View, Source, App string
		Methods                          []string
	}
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || len(got) != 1 {
		t.Fatalf("%v: %+v", err, r)
	}
	if p := got[0]; p.Pattern != "/polls/{id}/" || p.Name != "poll" || p.View != "commands_test.detail" || p.App != "polls" ||
		strings.Join(p.Methods, " ") != "GET POST" || !strings.HasPrefix(p.Source, "commands/listurls_test.go:") {
		t.Errorf("%+v", p)
	}
}

// TestListurls_Unsorted is Django's test_unsorted: the order of registration.
func TestListurls_Unsorted(t *testing.T) {
	t.Parallel()
	order := func(args ...string) (patterns []string) {
		for line := range strings.Lines(run(t, addressed(t), args...).out) {
			patterns = append(patterns, strings.Fields(line)[0])
		}
		return patterns[1:]
	}
	if got := strings.Join(order("listurls", "--unsorted"), " "); got != "/z /polls/{id}/ /polls/boxes/ /" {
		t.Errorf("unsorted: %s", got)
	}
	if got := strings.Join(order("listurls"), " "); got != "/ /polls/boxes/ /polls/{id}/ /z" {
		t.Errorf("sorted: %s", got)
	}
}

// TestListurls_NoURLs is Django's test_no_urls: no match is an error.
func TestListurls_NoURLs(t *testing.T) {
	t.Parallel()
	if r := run(t, addressed(t), "listurls", "--prefix", "/votes"); r.status != 1 || r.errors != "error: no pattern begins with /votes\nhint: begin with a slash, or leave --prefix out\n" {
		t.Errorf("a prefix of nothing: %+v", r)
	}
	if r := run(t, polls(t), "listurls"); r.status != 1 || r.errors != "error: this site has no routes\nhint: register them in app.Options.Routes\n" {
		t.Errorf("a site without routes: %+v", r)
	}
}

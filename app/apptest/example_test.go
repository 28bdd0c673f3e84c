package apptest_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/db/dbtest"
)

// A test asks the site as a browser does, and then the database. It fails by itself
// when something is left open at its end.
func Example() {
	// func TestMain(m *testing.M) { dbtest.Main(m) }

	newSite := on(dbtest.SQLite, urls) // the New of your site

	_ = func(t *testing.T) { // TestANoteIsKept
		t.Parallel()
		site := apptest.New(t, newSite)
		response := site.Client.Post("/", apptest.Form(url.Values{"text": {"buy ink"}}), apptest.Follow())
		if response.StatusCode != http.StatusOK || !response.ReleasedBeforeBody {
			t.Errorf("status %d, err %v, held %v", response.StatusCode, response.Err, response.Held)
		}
		if n, err := count(site.Context); n != 1 || err != nil {
			t.Errorf("%d notes, %v", n, err)
		}
	}

	_ = func(t *testing.T) { // TestTheExportIsAStream
		t.Parallel()
		stream := apptest.New(t, newSite).Client.Stream("/export")
		for chunk, err := range stream.Chunks() {
			if err != nil || !stream.ReleasedBeforeBody {
				t.Errorf("%q, %v, held %v", chunk, err, stream.Held)
			}
		}
	}
}

// Package apptest is a site under test: a client that needs no port, what the site
// did for each answer, and databases that no other test sees. Only _test files
// import it.
//
//	func TestVote(t *testing.T) {
//		t.Parallel()
//		site := apptest.New(t, site.New)
//		response := site.Client.Post("/polls/1/vote", apptest.Form(url.Values{"choice": {"2"}}))
//		if response.StatusCode != http.StatusSeeOther || !response.ReleasedBeforeBody {
//			t.Errorf("status %d, held %v", response.StatusCode, response.Held)
//		}
//		n, err := db.From(site.Context).NewSelect().Model((*Vote)(nil)).Count(site.Context)
//		...
//	}
package apptest

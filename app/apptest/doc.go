// Package apptest is a site under test: a client that needs no port, what the site
// did for each answer, and databases that no other test sees. Only _test files import
// it.
//
//	func TestMain(m *testing.M) { dbtest.Main(m) }
//
//	func TestVote(t *testing.T) {
//		t.Parallel()
//		site := apptest.New(t, site.New, questions)
//		response := site.Client.Post("/polls/1/vote", apptest.Form(url.Values{"choice": {"2"}}))
//		if response.StatusCode != http.StatusSeeOther || !response.ReleasedBeforeBody {
//			t.Errorf("status %d, err %v, held %v", response.StatusCode, response.Err, response.Held)
//		}
//		votes, err := db.From(site.Context).NewSelect().Model((*Vote)(nil)).Count(site.Context)
//		if votes != 1 || err != nil {
//			t.Errorf("%d votes, %v", votes, err)
//		}
//	}
//
//	var questions = apptest.Fixture(func(ctx context.Context) error { return polls.Seed(ctx) })
//
// # The site
//
// [New] calls the New of the site, the one that its manage command calls: the same
// middleware, the same life of a request, the same pool. Only its settings are those of
// a test. Two sites in one process do not meet, and so tests may run in parallel.
//
// # The databases
//
// A test runs in one transaction, which is rolled back at its end: see
// [dbtest.Atomic] for what that means and what it cannot do. What the site does is
// what it does in production. It gives connections back before the first byte, closes
// them by their age, checks their health, commits its blocks and runs their callbacks;
// underneath stays the one transaction that the test sees all of it in. A live server
// is in it, too.
//
// The migrations of the site and the [Fixture] options are written once for each
// process, into a database that others are copied from. With [RealCommits] a test has
// a copy of its own instead, whose commits are real.
//
// # The client
//
// Requests go through net/http's client and server, over a connection in memory, so
// that clients that leave, deadlines and responses that break off are real. In a
// testing/synctest bubble, on a site without a database, an hour takes no time.
//
// A [Response] has plain values: its route, the templates with their data, its queries,
// the signals, the error behind a 500, and ReleasedBeforeBody: whether every connection
// had gone home when the first byte left. A [Stream] is read chunk by chunk while the
// site makes it.
//
// # Differences from Django
//
//   - Nothing global is changed while a request runs: no receiver is taken off.
//   - close_old_connections and connection.close() in a view do not end the test's
//     transaction, and what the view does afterwards works.
//   - on_commit functions run when the block of the site commits, in every test. To
//     capture them, record the signal CallbackFinished.
//   - An error of a view is the Err of the response, and is not raised in the test.
//   - A stream is read while the test looks; one that is not read to its end fails
//     the test instead of leaving the request open.
//   - LiveServer works inside of the transaction.
//
// [dbtest.Atomic]: https://pkg.go.dev/github.com/goquintet/quintet/db/dbtest#Atomic
package apptest

// Package dbtest gives tests private databases, finds what they leave behind, and
// breaks connections on purpose. Only _test files import it.
//
//	func TestTransfer(t *testing.T) {
//		dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
//			conns := dbtest.Open(t, settings)
//			err := conns.Run(t.Context(), "transfer", func(ctx context.Context) error { ... })
//		})
//	}
//
// [Atomic] runs a test in one transaction instead, on connections that behave as in
// production: package app/apptest does so for a whole site.
//
// SQLite databases are files in the test's own folder. PostgreSQL databases are
// made on a private server: the one that [server.FromEnv] names, or else one
// that the test process starts when it first needs it, about a second later. On
// Linux the kernel ends that server with the process; [Main] ends it everywhere,
// and leaves no folder behind.
//
// Without PostgreSQL installed its tests are skipped with a text that begins
// "PostgreSQL is not installed". With QUINTET_REQUIRE=postgres in the environment,
// a comma list, they fail instead.
package dbtest

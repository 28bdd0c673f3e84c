// Package server starts a private PostgreSQL from the binaries that are installed
// on this machine: for tests, for benchmarks, and for trying something out.
//
//	srv, err := server.Start(ctx, server.Options{})
//	if errors.Is(err, server.ErrNotInstalled) {
//		t.Skip(err)
//	}
//	defer srv.Stop()
//	err = srv.CreateDatabase(ctx, "shop", "")
//	// connect to srv.Host, srv.Port as srv.User, database "shop", no password
//
// The server has a folder of its own under the temporary folder, listens on a free
// port of 127.0.0.1 and on a unix socket in that folder, and forgets everything
// when it stops. It trades durability for speed (fsync is off): never put data
// into it that somebody wants to keep. While it runs, whoever can connect to
// 127.0.0.1 on this machine is its superuser.
//
// PostgreSQL refuses to run as root. A process of root therefore starts it as the
// user postgres, or nobody where that does not exist.
//
// On Linux the kernel ends the server together with the process that started it,
// even when that was killed; elsewhere the next Start does. The folders of killed
// runs are removed by the next Start.
//
// One server is enough for many test processes: the one that started it hands on
// [Server.Env], the others ask [FromEnv].
//
// PostgreSQL 14 or newer.
package server

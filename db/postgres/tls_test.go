package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/pool"
	"github.com/goquintet/quintet/db/postgres/server"
)

// encrypted starts a server that speaks TLS, and returns settings that insist on it
// with its certificate.
func encrypted(t *testing.T) (*server.Server, db.Settings) {
	t.Helper()
	running(t) // skips without PostgreSQL
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))

	srv, err := server.Start(t.Context(), server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	})
	// The server writes the files itself: they must belong to its user.
	write := func(file, content string) string {
		return "COPY (SELECT line FROM unnest(string_to_array('" + strings.TrimSpace(content) + "', E'\\n')) AS line) TO PROGRAM 'umask 077; cat > " + file + "'"
	}
	err = srv.Exec(t.Context(), "postgres", write("server.crt", certificate), write("server.key", private), "ALTER SYSTEM SET ssl = on")
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Restart(t.Context(), server.Fast); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root.crt")
	if err := os.WriteFile(root, []byte(certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	s := settings(t, srv)
	s.Options["sslmode"], s.Options["sslrootcert"] = "verify-full", root
	return srv, s
}

func TestTLS_EverythingWorksAsWithout(t *testing.T) {
	t.Parallel()
	srv, s := encrypted(t)
	d := open(t, s)
	c, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, c, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"); got != "true" {
		t.Fatalf("ssl: %s", got)
	}
	// the session tickets of TLS 1.3 wait unread: they are not death
	for range 3 {
		if err := d.Peek(c); err != nil {
			t.Errorf("peek: %v", err)
		}
	}
	exec(t, c, "LISTEN news")
	if err := srv.Exec(t.Context(), "postgres", "NOTIFY news"); err != nil {
		t.Fatal(err)
	}
	if err := d.Peek(c); err != nil {
		t.Errorf("peek: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- tryExec(c, "SELECT pg_sleep(600)") }()
	awaitRunning(t, srv, "1", application(t))
	if err := d.Cancel(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; d.Classify(err) != pool.Canceled {
		t.Errorf("cancel: %v", err)
	}
	if err := d.Reset(t.Context(), c); err != nil {
		t.Error(err)
	}
	if closed(t, d, c) {
		if n := backends(t, srv, application(t)); n != 0 {
			t.Errorf("%d backends after Close", n)
		}
	}

	c = connect(t, d)
	terminate(t, srv)
	if d.Peek(c) == nil {
		t.Error("peek does not find the end of an encrypted session")
	}
	c = connect(t, d)
	go func() { ended <- tryExec(c, "SELECT pg_sleep(600)") }()
	awaitRunning(t, srv, "1", application(t))
	d.Kill(c)
	if err := <-ended; d.Classify(err) != pool.Lost {
		t.Errorf("kill: %v", err)
	}
}

func TestTLS_ARefusedCertificateIsNotTransient(t *testing.T) {
	t.Parallel()
	_, s := encrypted(t)
	s.Host = "localhost" // which the certificate does not name
	d := open(t, s)
	c, err := d.Connect(t.Context())
	if err == nil {
		_ = d.Close(c)
		t.Fatal("connected")
	}
	if d.Transient(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("transient %v: %v", d.Transient(err), err)
	}
}

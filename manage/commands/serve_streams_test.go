//go:build unix

package commands_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestStreamsBehindNginx: through a real nginx with its default buffering each event
// arrives before the next one is made, a client that leaves ends the generator, and an
// answer that is broken off is broken for the client, over HTTP/1.1 and HTTP/2.
func TestStreamsBehindNginx(t *testing.T) {
	t.Parallel()
	installed(t, "nginx", "nginx")
	program := buildServed(t)
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			dir := siteFolder(t, anyHost)
			socket, address := shared(t, dir, "tcp")
			p := start(t, dir, []*os.File{socket}, []string{"LISTEN_FDS=1"}, program, "serve", "--fd")
			p.serving(t, 1)
			client := nginxIn(t, proto, dir, address)

			for n, path := range []string{"/events", "/chunks"} {
				response, body := open(t, client, path, map[string]string{"/events": "data: "}[path]+"first")
				if server := response.Header.Get("Server"); !strings.HasPrefix(server, "nginx") || response.Proto != proto {
					t.Errorf("%s is answered by %q in %s", path, server, response.Proto)
				}
				var took []time.Duration
				for i := range 20 {
					want := fmt.Sprint(i)
					began := time.Now()
					mustFetch(t, client, http.MethodPost, "/next", want, nil)
					for line := ""; strings.TrimPrefix(line, "data: ") != want+"\n"; {
						var err error
						if line, err = body.ReadString('\n'); err != nil {
							t.Fatal(err)
						}
					}
					took = append(took, time.Since(began))
				}
				slices.Sort(took)
				t.Logf("%s %s: from the request for a chunk to its arrival it took %s, at most %s", proto, path, took[len(took)/2], took[len(took)-1])
				if took[len(took)/2] > 5*time.Second { // a hundred milliseconds, on a machine with nothing else to do
					t.Errorf("%s %s: the chunks take %s", proto, path, took)
				}
				if err := response.Body.Close(); err != nil {
					t.Error(err)
				}
				p.logs(t, "request", (n+1)*21) // the stream has ended
			}

			_, body := open(t, client, "/fails", "half")
			if rest, err := io.ReadAll(body); err == nil {
				t.Errorf("what is broken off looks whole: %q", rest)
			}
			p.stops(t)
		})
	}
}

// nginxIn starts an nginx in front of a site, and returns a client that speaks the
// protocol with it.
func nginxIn(t *testing.T, proto, dir, upstream string) *http.Client {
	t.Helper()
	if proto == "HTTP/1.1" {
		return clientOf(t, "tcp", nginx(t, dir, "tcp", upstream), nil)
	}
	server := httptest.NewTLSServer(nil) // for its certificate
	certificate, pool := server.TLS.Certificates[0], x509.NewCertPool()
	pool.AddCert(server.Certificate())
	server.Close()
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"site.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}),
		"site.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := nginxAt(t, dir, "tcp", upstream, func(address string) string {
		return fmt.Sprintf("listen %s ssl http2;\n    ssl_certificate %s/site.crt;\n    ssl_certificate_key %[2]s/site.key;", address, dir)
	})
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: pool, ServerName: "example.com"},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: secure{transport}, Timeout: time.Minute}
}

// secure asks over TLS, whatever the URL says.
type secure struct{ http.RoundTripper }

func (s secure) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme = "https"
	return s.RoundTripper.RoundTrip(r)
}

package telemetry_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// Secrets are planted wherever a request can have one. Everything that was sent, byte by
// byte, has none of them.
func TestSecretsAreInNoOutput(t *testing.T) {
	t.Parallel()
	dbtest.Engines(t, func(t *testing.T, settings db.Settings) {
		s := tell(t, settings, routes)
		s.sales(t)
		const secret = "hunter2"
		planted := func(r *http.Request) {
			r.Header.Set("Cookie", "session="+secret)
			r.Header.Set("Authorization", "Bearer "+secret)
			r.Header.Set("User-Agent", secret)
			r.Header.Set("Referer", "http://example.com/"+secret)
			r.Header.Set("Tracestate", "vendor="+secret)
			r.Header.Set("Baggage", "token="+secret)
			r.Host = secret + ".example.com"
		}
		s.ask(t, "/sales/"+secret+"?region="+secret, 200, planted)
		s.ask(t, "/fail/"+secret, 500, planted)
		s.ask(t, "/fail/unique", 500, planted)
		s.ask(t, "/fail/panic", 500, planted)
		s.ask(t, "/nowhere/"+secret, 404, planted)
		s.ask(t, "/export", 405, planted, func(r *http.Request) { r.Method = strings.ToUpper(secret) })
		if spans := s.sent(t); len(spans) < 20 {
			t.Fatalf("only %d spans were sent", len(spans))
		}
		s.page(t)

		s.mu.Lock()
		defer s.mu.Unlock()
		sent := s.raw.String()
		for _, want := range []string{"INSERT INTO sales VALUES", "http.route", "http_server_request_duration_seconds", "/sales/{id}"} {
			if !strings.Contains(sent, want) {
				t.Errorf("%q is not in what was sent: this test looks at the wrong thing", want)
			}
		}
		for _, secret := range []string{secret, strings.ToUpper(secret), string(settings.Password), "a secret in"} {
			if at := strings.Index(sent, secret); secret != "" && at >= 0 {
				t.Errorf("%q was sent: ...%q...", secret, sent[max(0, at-200):min(len(sent), at+100)])
			}
		}
	})
}

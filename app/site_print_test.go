package app_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

func TestSite_CannotPrintSecrets(t *testing.T) {
	t.Parallel()
	settings := anyHost()
	settings.SecretKey = "planted-key"
	settings.Databases = map[string]db.Settings{"default": {Engine: "postgres", Name: "shop", Password: "planted-password"}}
	site := newSite(t, settings, app.Options{})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
		if printed := fmt.Sprintf(verb, site); strings.Contains(printed, "planted") || !strings.Contains(printed, "default") {
			t.Errorf("%s prints %q", verb, printed)
		}
	}
}

package app_test

import (
	"testing"
	"time"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

// valuesOf are the values by their keys.
func valuesOf(s app.Settings) map[string]app.Setting {
	values := make(map[string]app.Setting)
	for _, v := range s.Values() {
		values[v.Key] = v
	}
	return values
}

func TestValues_HaveEveryKeyAndNoSecret(t *testing.T) {
	t.Parallel()
	s, err := app.LoadIn("testdata/settings", nil, "complete.yaml")
	if err != nil {
		t.Fatal(err)
	}
	values := valuesOf(s)
	site, database := app.Keys()
	for _, key := range site {
		if _, ok := values[key]; !ok && key != "DATABASES" {
			t.Errorf("%s is missing", key)
		}
	}
	for _, key := range database {
		if _, ok := values["DATABASES.default."+key]; !ok && key != "OPTIONS" {
			t.Errorf("DATABASES.default.%s is missing", key)
		}
	}
	for key, want := range map[string]string{
		"SECRET_KEY": "[hidden]", "DATABASES.default.PASSWORD": "[hidden]", "DATABASES.default.OPTIONS.sslmode": `"verify-full"`,
		"APPEND_SLASH": "false", "STREAM_WRITE_TIMEOUT": "1.5s", "STREAM_HEARTBEAT": "null", "DATABASES.default.CONN_MAX_IDLE": "300", "MAX_BODY": "10000000",
		"TRUSTED_PROXIES": `["10.0.0.0/8", "192.0.2.1/32", "2001:db8::1/128"]`,
	} {
		if values[key].Value != want {
			t.Errorf("%s is %s, want %s", key, values[key].Value, want)
		}
	}
	if got := values["LISTEN"].Origin; got != "complete.yaml:9" {
		t.Errorf("LISTEN comes from %s", got)
	}
}

func TestValues_AreEqualByWhatTheyHide(t *testing.T) {
	t.Parallel()
	one := valuesOf(app.Settings{SecretKey: "one", AllowedHosts: []string{}, IdleTimeout: time.Second})
	two := valuesOf(app.Settings{SecretKey: "two", AllowedHosts: nil, IdleTimeout: time.Second})
	for key, want := range map[string]bool{"SECRET_KEY": false, "ALLOWED_HOSTS": true, "IDLE_TIMEOUT": true} {
		if same := one[key]; one[key].Equal(two[key]) != want || !one[key].Equal(same) {
			t.Errorf("%s: equal is not %v", key, want)
		}
	}
}

// TestValues_DefaultsAreThoseOfEachAlias: an alias has no default engine, but default
// ages.
func TestValues_DefaultsAreThoseOfEachAlias(t *testing.T) {
	t.Parallel()
	s := app.Settings{Databases: map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:", MaxConnections: 3}}}.WithDefaults()
	changed := ""
	defaults := valuesOf(app.Settings{})
	for _, d := range s.DefaultValues() {
		defaults[d.Key] = d
	}
	for _, v := range s.Values() {
		if !v.Equal(defaults[v.Key]) {
			changed += v.Key + "=" + v.Value + " "
		}
	}
	equal(t, "what differs", changed, `DATABASES.default.ENGINE="sqlite" DATABASES.default.MAX_CONNECTIONS=3 DATABASES.default.NAME=":memory:" `)
}

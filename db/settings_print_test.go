package db_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/goquintet/quintet/db"
)

func TestSecret_NoVerbPrintsIt(t *testing.T) {
	t.Parallel()
	const secret = db.Secret("hunter2")
	for verb, want := range map[string]string{
		"%v": "[hidden]", "%+v": "[hidden]", "%#v": `"[hidden]"`, "%s": "[hidden]", "%q": `"[hidden]"`, "%12s|": "    [hidden]|",
		"%x": "[hidden]", "%X": "[hidden]", "%d": "[hidden]", "%t": "[hidden]", "%c": "[hidden]", "%5z": "[hidden]",
	} {
		if got := fmt.Sprintf(verb, secret); got != want {
			t.Errorf("%s is %s, want %s", verb, got, want)
		}
	}
	if got := fmt.Sprintf("%v%s", db.Secret(""), db.Secret("")); got != "" {
		t.Errorf("an empty secret is %q, want nothing", got)
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for _, shown := range [][2]string{
		{"NAME", "blog"}, {"sslmode", "require"}, {"host", "db.example.com"}, {"keepalives_idle", "30"}, {"PASSWORD", ""},
		{"search_path", "a,b"}, {"HOST", "/var/run/postgresql"}, {"email", "ada@example.com"}, {"time", "12:30"},
	} {
		if got := db.Redact(shown[0], shown[1]); got != shown[1] {
			t.Errorf("%s: %q is hidden", shown[0], shown[1])
		}
	}
	for _, hidden := range [][2]string{
		{"PASSWORD", "x"}, {"SECRET_KEY", "x"}, {"sslpassword", "x"}, {"passfile", "x"}, {"Api_Token", "x"}, {"sslkey", "x"}, {"pwd", "x"},
		{"NAME", "postgresql://u:p@h/n"}, {"dsn", "u:p@tcp(h)/n"}, {"conninfo", "host=h Password=p"},
	} {
		if got := db.Redact(hidden[0], hidden[1]); got != "[hidden]" {
			t.Errorf("%s: %q is shown as %q", hidden[0], hidden[1], got)
		}
	}
}

func TestSettings_PrintingLeavesThemAlone(t *testing.T) {
	t.Parallel()
	s := db.Settings{Engine: "sqlite", Password: "hunter2", Options: map[string]string{"token": "hunter2"}}
	encoded, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	_ = fmt.Sprintf("%v %+v %#v %s", s, s, &s, encoded)
	if s.Password != "hunter2" || s.Options["token"] != "hunter2" {
		t.Error("printing changed the settings")
	}
}

package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/db"
)

const hunter2 = "hunter2"

func secretive() app.Settings {
	return app.Settings{
		SecretKey: hunter2, Listen: ":1",
		Databases: map[string]db.Settings{"default": {
			Engine: "postgres", Password: hunter2, Name: "postgresql://u:" + hunter2 + "@h/n", User: "visible",
			Options: map[string]string{"sslpassword": hunter2, "API_TOKEN": hunter2, "dsn": "u:" + hunter2 + "@tcp(h)", "sslmode": "visible"},
		}},
	}
}

func TestSettings_CannotPrintSecrets(t *testing.T) {
	t.Parallel()
	settings := secretive()
	for name, value := range map[string]any{
		"the settings": settings, "a pointer": &settings, "with defaults": settings.WithDefaults(),
		"an alias": settings.Databases["default"], "all aliases": settings.Databases,
		"inside something": struct{ S app.Settings }{settings}, "in a list": []any{settings},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T %v"} {
			args := []any{value}
			if strings.HasPrefix(verb, "%T") {
				args = append(args, value)
			}
			hidesSecrets(t, name+" through "+verb, fmt.Sprintf(verb, args...))
		}
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		hidesSecrets(t, name+" as JSON", string(encoded))
		for handler, newHandler := range map[string]func(*bytes.Buffer) slog.Handler{
			"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b bytes.Buffer
			slog.New(newHandler(&b)).Info("start", "settings", value, slog.Group("g", "s", value))
			hidesSecrets(t, name+" logged as "+handler, b.String())
		}
	}
}

func hidesSecrets(t *testing.T, how, text string) {
	t.Helper()
	hexadecimal := fmt.Sprintf("%x", hunter2)
	if strings.Contains(text, hunter2) || strings.Contains(text, hexadecimal) || strings.Contains(text, strings.ToUpper(hexadecimal)) {
		t.Errorf("%s: a secret shows: %s", how, text)
	}
}

func TestSettings_PrintTheRest(t *testing.T) {
	t.Parallel()
	for _, text := range []string{fmt.Sprintf("%+v", secretive()), fmt.Sprintf("%#v", secretive())} {
		if strings.Count(text, "visible") != 2 || !strings.Contains(text, "[hidden]") {
			t.Errorf("%s should show USER, sslmode, and that there is something hidden", text)
		}
	}
	encoded, err := json.Marshal(secretive())
	if err != nil {
		t.Fatal(err)
	}
	var decoded struct {
		Databases map[string]struct{ User string }
	}
	if err := json.Unmarshal(encoded, &decoded); err != nil || decoded.Databases["default"].User != "visible" {
		t.Errorf("%s does not read back: %v", encoded, err)
	}
	equal(t, "the secret itself", string(secretive().SecretKey), hunter2)
}

// Whatever is wrong with a secret, its value stays out of the error.
func TestLoad_ErrorsHideSecrets(t *testing.T) {
	t.Parallel()
	const alias = "DATABASES:\n  default:\n    ENGINE: postgres\n    "
	for _, yaml := range []string{
		"SECRET_KEY: [hunter2]\n",
		"SECRET_KEY: {hunter2: hunter2}\n",
		"SECRET_KEY: !hunter2 x\n",
		"SECRET_KEY: !!binary hunter2\n",
		"SECRET_KEY: *hunter2\n",
		"DEBUG: 1\nSECRET_KEY: @hunter2\n",
		"SECRET_KEY: \"hunter2\n",
		"SECRET_KEY: \"\\hunter2\"\n",
		"SECRET_KEY: hunter2: hunter2\n",
		"SECRETKEY: hunter2\n",
		"SECRET_KEY: a\nSECRET_KEY: hunter2\n",
		alias + "PASSWORD: [hunter2]\n",
		alias + "PASWORD: hunter2\n",
		alias + "PORT: postgresql://u:hunter2@h/n\n",
		alias + "OPTIONS: {sslpassword: [hunter2]}\n",
		alias + "OPTIONS: {sslpassword: {hunter2: 1}}\n",
		alias + "OPTIONS: host=h password=hunter2\n",
		"DATABASES: {default: 'postgresql://u:hunter2@h/n'}\n",
		"DATABASES: postgresql://u:hunter2@h/n\n",
		"STATIC_URL: https://u:hunter2@cdn\n",
		"CSRF_TRUSTED_ORIGINS: ['https://u:hunter2@h']\n",
		"ALLOWED_HOSTS: https://u:hunter2@h\n",
		"TRUSTED_PROXIES: ['u:hunter2@h']\n",
	} {
		t.Run(yaml, func(t *testing.T) {
			t.Parallel()
			_, err := loadYAML(t, yaml)
			shows(t, err)
		})
	}
	for _, environ := range [][]string{
		{"QUINTET_SECRETKEY=hunter2"}, {"QUINTET_SECRET_KEY=hunter2", "QUINTET_secret_key=hunter2"},
		{"QUINTET_DATABASES__DEFAULT=postgresql://u:hunter2@h/n"}, {"DATABASE_URL=postgresql://u:hunter2@h:port/n"},
		{"DATABASE_URL=hunter2"}, {"DATABASE_URL=postgresql://u:%hunter2@h/n"},
		{"DATABASE_URL=postgresql://u:hunter2@h:99999/n"},
	} {
		t.Run(environ[0], func(t *testing.T) {
			t.Parallel()
			_, err := loadYAML(t, "", environ...)
			shows(t, err)
		})
	}
}

func shows(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	hidesSecrets(t, "the error", err.Error())
	for _, mistake := range configErrors(t, err) {
		hidesSecrets(t, "its parts", fmt.Sprintf("%#v %v", *mistake, errors.Unwrap(mistake)))
	}
}

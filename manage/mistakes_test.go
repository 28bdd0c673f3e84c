package main_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mistake is what somebody types, and what the program answers: a line that begins
// with says, and a hint that contains hint.
type mistake struct {
	args   string
	status int
	says   string
	hint   string
}

// usageMistakes are about commands, options and arguments: the program was not
// understood, and ends with 2.
func usageMistakes() []mistake {
	return []mistake{
		{"migrte", 2, `unknown command "migrte"`, "did you mean migrate?"},
		{"runsever", 2, `unknown command "runsever"`, "did you mean runserver?"},
		{"sed", 2, `unknown command "sed"`, "did you mean seed?"},
		{"xyzzy", 2, `unknown command "xyzzy"`, `"manage help" lists the commands`},
		{"help migrat", 2, `unknown command "migrat"`, "did you mean migrate?"},
		{"help a b", 2, `help does not know what to do with "b"`, "usage: manage help [COMMAND]"},
		{"--xyzzy", 2, "manage has no option --xyzzy", `"manage help" explains them`},
		{"migrate --databse x", 2, "migrate has no option --databse", "did you mean --database?"},
		{"migrate --setings x", 2, "migrate has no option --setings", "did you mean --settings?"},
		{"migrate --fake", 2, "migrate has no option --fake", `"manage help migrate" explains it`},
		{"migrate -x", 2, "migrate has no option -x", `"manage help migrate" explains it`},
		{"migrate --database", 2, "migrate: flag needs an argument: --database", `"manage help migrate" explains it`},
		{"migrate --settings", 2, "flag needs an argument: --settings", "say for example --settings production.yaml"},
		{"migrate --no-color --force-color", 2, "--no-color and --force-color contradict each other", "say one of them"},
		{"migrate sales 0001 0002", 2, `migrate does not know what to do with "0002"`, "usage: manage migrate [APP [NAME]]"},
		{"version 2", 2, `version does not know what to do with "2"`, "usage: manage version"},
		{"runserver 8000 8001", 2, `runserver does not know what to do with "8001"`, "usage: manage runserver"},

		{"check --deply", 2, "check has no option --deply", "did you mean --deploy?"},
		{"check --fail-level wrning", 2, `there is no level "wrning"`, "did you mean warning? say debug, info, warning, error, critical"},
		{"check --fail-level", 2, "check: flag needs an argument: --fail-level", `"manage help check" explains it`},
		{"diffsettings x", 2, `diffsettings does not know what to do with "x"`, "usage: manage diffsettings"},
		{"diffsettings --output unifed", 2, `there is no output "unifed"`, "did you mean unified? say hash, unified"},
		{"listurls x", 2, `listurls does not know what to do with "x"`, "usage: manage listurls"},
		{"listurls --format yaml", 2, `there is no format "yaml"`, "say table, json"},
		{"makemigrations", 2, "makemigrations wants an APP", "usage: manage makemigrations APP"},
		{"makemigrations sales", 2, "migrations are SQL written by hand", "say manage makemigrations --empty --name choice_votes sales"},
		{"makemigrations sales --empty", 2, `"" is no name for a migration`, "--name choice_votes"},
		{"makemigrations sales --empty --name Bad-Name", 2, `"Bad-Name" is no name for a migration`, "words in lower case"},
		{"makemigrations sales shop --empty", 2, `makemigrations does not know what to do with "shop"`, "usage: manage makemigrations APP"},
		{"sqlmigrate", 2, "sqlmigrate wants an APP", "usage: manage sqlmigrate APP NAME"},
		{"sqlmigrate sales", 2, "sqlmigrate wants the NAME of a migration", "usage: manage sqlmigrate APP NAME"},
		{"sqlmigrate sales 0001 0002", 2, `sqlmigrate does not know what to do with "0002"`, "usage: manage sqlmigrate APP NAME"},
		{"dbshell select", 2, `dbshell does not know what to do with "select"`, "usage: manage dbshell [-- ARGUMENTS]"},
		{"dbstatus --wach", 2, "dbstatus has no option --wach", "did you mean --watch?"},
		{"dbstatus now", 2, `dbstatus does not know what to do with "now"`, "usage: manage dbstatus"},
		{"completion", 2, "completion wants a SHELL", "usage: manage completion SHELL"},
		{"completion tcsh", 2, `there is no completion for "tcsh"`, "say bash, zsh, fish, powershell"},
		{"completion bash zsh", 2, `completion does not know what to do with "zsh"`, "usage: manage completion SHELL"},
		{"test --slowest=-1", 2, "--slowest -1 is negative", "say 0 for none"},
		{"test --slowest=x", 2, `test: "x" is no value for --slowest`, "--slowest N: show the N slowest tests"},
		{"test --require=oracle", 2, `nothing can be required by the name "oracle"`, "say --require=postgres"},
	}
}

// nameMistakes are about what the site has, and addresses: the command was understood
// and has failed.
func nameMistakes() []mistake {
	return []mistake{
		{"check sale", 1, `there is no app "sale"`, "did you mean sales? the apps are sales, firststart"},
		{"check --tag modles", 1, `no check has the tag "modles"`, "did you mean models? the tags are database, "},
		{"check --tag security", 1, `no check has the tag "security" without --deploy`, "add --deploy"},
		{"check --database replica", 1, `there is no database "replica"`, "DATABASES has default"},
		{"check --database defalt", 1, `there is no database "defalt"`, "did you mean default?"},
		{"diffsettings --default nowhere.yaml", 1, "nowhere.yaml: not found", "name a settings file with --default"},
		{"listurls --prefix /nowhere", 1, "no pattern begins with /nowhere", "leave --prefix out"},
		{"makemigrations sale --empty", 1, `there is no app "sale"`, "did you mean sales?"},
		{"makemigrations sales --empty --name x --dir nowhere", 1, "there is no folder nowhere", "name another one with --dir"},
		{"migrate sale", 1, `migrate: app "sale": unknown app`, `did you mean "sales"? the apps are sales, firststart`},
		{"migrate sales 0009", 1, "migrate: sales.0009: unknown migration", "the migrations are 0001_initial"},
		{"migrate --database replica", 1, `there is no database "replica"`, "DATABASES has default"},
		{"showmigrations sale", 1, `there is no app "sale"`, "did you mean sales?"},
		{"showmigrations --database replica", 1, `there is no database "replica"`, "DATABASES has default"},
		{"sqlmigrate sale 0001", 1, `migrate: app "sale": unknown app`, `did you mean "sales"?`},
		{"sqlmigrate sales 0009", 1, "migrate: sales.0009: unknown migration", "the migrations are 0001_initial"},
		{"sqlmigrate sales 0001 --database replica", 1, `there is no database "replica"`, "DATABASES has default"},
		{"dbstatus --database replica", 1, `there is no database "replica"`, "DATABASES has default"},
		{"dbstatus", 1, "no process serves this site", "theirs would be in /"},
		{"dbshell --database replica", 1, `there is no database "replica"`, "DATABASES has default"},

		{"runserver here", 1, `"here" is no port and no address with a port`, "say for example 8001, 127.0.0.1:8001 or [::1]:8001"},
		{"runserver 99999", 1, `"99999" is no port and no address with a port`, "say for example 8001"},
		{"runserver http://localhost:8000", 1, `"http://localhost:8000" is no port and no address with a port`, "say for example 8001"},
		{"runserver ::1:8000", 1, `"::1:8000" is no port and no address with a port`, "[::1]:8001"},
		{"runserver 192.0.2.1:8000", 1, "192.0.2.1:8000 is no address of this machine", "say 127.0.0.1 for this machine only"},
		{"runserver beef:7654", 1, `no address is known for "beef"`, "say 127.0.0.1"}, // a name, though its digits are hexadecimal
		{"runserver no-such-host.invalid:8000", 1, `no address is known for "no-such-host.invalid"`, "say 127.0.0.1"},
	}
}

// settingMistakes are about the settings; what stands before the command are
// variables.
func settingMistakes() []mistake {
	return []mistake{
		{"--settings nowhere.yaml check", 1, "nowhere.yaml: not found", "QUINTET_SETTINGS names it"},
		{"QUINTET_DEBG=true check", 1, "environment QUINTET_DEBG: DEBG: is unknown", "did you mean QUINTET_DEBUG?"},
		{"QUINTET_INSTALLED_APPS=polls check", 1, "environment QUINTET_INSTALLED_APPS: INSTALLED_APPS: is unknown", "apps are Go"},
		{"QUINTET_DEBUG=maybe check", 1, `environment QUINTET_DEBUG: DEBUG: "maybe": is neither true nor false`, "say true or false"},
		{"QUINTET_LISTEN=here check", 1, `environment QUINTET_LISTEN: LISTEN: "here": is no address`, "write host:port"},
		{"QUINTET_PROCESSES=-1 check", 1, `environment QUINTET_PROCESSES: PROCESSES: "-1": is negative`, "leave it out for one"},
		{"QUINTET_PROCESSES=many check", 1, `environment QUINTET_PROCESSES: PROCESSES: "many": is not a whole number`, "write digits"},
		{"QUINTET_IDLE_TIMEOUT=soon migrate", 1, `environment QUINTET_IDLE_TIMEOUT: IDLE_TIMEOUT: "soon": is no duration`, "write seconds as a number"},
		{"QUINTET_MAX_BODY=much listurls", 1, `environment QUINTET_MAX_BODY: MAX_BODY: "much": is no size`, "write bytes as a number"},
		{"QUINTET_LOG_LEVEL=loud diffsettings", 1, `environment QUINTET_LOG_LEVEL: LOG_LEVEL: "loud": is no level`, "say debug, info, warn or error"},
		{"QUINTET_ALLOWED_HOSTS=http://x runserver", 1, `environment QUINTET_ALLOWED_HOSTS: ALLOWED_HOSTS: "http://x": is no host`, "write a name without scheme and port"},
		{"QUINTET_TRUSTED_PROXIES=here check", 1, `environment QUINTET_TRUSTED_PROXIES: TRUSTED_PROXIES: "here": is no network`, "write an address"},
		{"QUINTET_DATABASES__DEFAULT__ENGINE=oracle check", 1, `environment QUINTET_DATABASES__DEFAULT__ENGINE: DATABASES.default.ENGINE: engine "oracle" is unknown`, "this site has postgres, sqlite"},
		{"QUINTET_DATABASES__DEFAULT__CONN_MAX_AGE=-5 dbshell", 1, `environment QUINTET_DATABASES__DEFAULT__CONN_MAX_AGE: DATABASES.default.CONN_MAX_AGE: "-5": is negative`, "use 0 to close after each request"},
		{"QUINTET_DATABASES__DEFAULT__PASWORD=x check", 1, "environment QUINTET_DATABASES__DEFAULT__PASWORD: DATABASES.default.PASWORD: is unknown", "did you mean QUINTET_DATABASES__DEFAULT__PASSWORD?"},
		{"QUINTET_DEBUG=false runserver", 1, "ALLOWED_HOSTS is empty and DEBUG is false: every request would be refused", "say DEBUG: true or fill ALLOWED_HOSTS (DEBUG: environment QUINTET_DEBUG)"},
		{"QUINTET_ADMIN_SOCKETS=none dbstatus", 1, "the processes of this site cannot be asked: ADMIN_SOCKETS is none", "(ADMIN_SOCKETS: environment QUINTET_ADMIN_SOCKETS)"},
		{"QUINTET_ADMIN_SOCKETS=/dev/null dbstatus", 1, "admin: /dev/null: is no folder", "choose another one"},
		{"PATH=/nowhere dbshell", 1, "sqlite3 is not installed, or not in PATH", "install it: apt-get install sqlite3"},
		{"PATH=/nowhere test", 1, "go is not installed, or not in PATH", "install it: https://go.dev/dl/"},
	}
}

// explainsMistakes has the built program told every one of them.
func explainsMistakes(t *testing.T, program string) {
	filled := "QUINTET_DATABASES__DEFAULT__NAME=" + filepath.Join(t.TempDir(), "db.sqlite3") + " " // or runserver fills it first
	if status, _, stderr := runProgram(t, program, filled+"migrate"); status != 0 {
		t.Fatalf("migrate ends with %d and says\n%s", status, stderr)
	}
	for _, mistakes := range [][]mistake{usageMistakes(), nameMistakes(), settingMistakes()} {
		for _, m := range mistakes {
			t.Run(m.args, func(t *testing.T) {
				t.Parallel()
				status, _, stderr := runProgram(t, program, filled+m.args)
				lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
				says := strings.HasPrefix(lines[0], "error: "+m.says)
				hints := len(lines) == 2 && strings.HasPrefix(lines[1], "hint: ") && strings.Contains(lines[1], m.hint)
				if status != m.status || !says || !hints {
					t.Errorf("ends with %d and says\n%swant %d and\nerror: %s\nhint: %s", status, stderr, m.status, m.says, m.hint)
				}
			})
		}
	}
}

// runProgram runs the program in the root of the repository; words with a = before
// the command are variables.
func runProgram(t *testing.T, program, line string) (status int, stdout, stderr string) {
	t.Helper()
	words := strings.Fields(line)
	var variables []string
	for len(words) > 0 && strings.Contains(words[0], "=") && !strings.HasPrefix(words[0], "-") {
		variables, words = append(variables, words[0]), words[1:]
	}
	cmd := command(t.Context(), t, program, words...)
	cmd.Env = append(cmd.Env, variables...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), out.String(), errs.String()
	} else if err != nil {
		t.Fatal(err)
	}
	return 0, out.String(), errs.String()
}

// paints shows that colours are for a terminal, here that of script, and that
// NO_COLOR keeps them away.
func paints(t *testing.T, program string) {
	script, err := exec.LookPath("script")
	if err != nil {
		t.Skip("script, of util-linux, is not installed")
	}
	for variables, want := range map[string]bool{"TERM=xterm NO_COLOR=": true, "TERM=xterm NO_COLOR=1": false, "TERM=dumb NO_COLOR=": false} {
		cmd := exec.CommandContext(t.Context(), script, "-qec", program+" help", filepath.Join(t.TempDir(), "typescript"))
		cmd.Dir, cmd.Env = "..", append(os.Environ(), strings.Fields(variables)...)
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("runserver")) {
			t.Fatalf("%s: %v\n%s", variables, err, out)
		}
		if got := bytes.Contains(out, []byte("\x1b[1m")); got != want {
			t.Errorf("with %s there are colours: %v", variables, got)
		}
	}
}

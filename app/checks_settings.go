package app

import (
	"fmt"
	"maps"
	"net"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/goquintet/quintet/db"
)

// checkSettings looks for settings that contradict each other. What is wrong by
// itself [Settings.Validate] has refused.
func checkSettings(s *Site, _ []App) (found []Problem) {
	add := func(id, key, message, hint string) { found = append(found, known(id, s.setting(key), message, hint)) }
	for _, alias := range slices.Sorted(maps.Keys(s.settings.Databases)) {
		database, key := s.settings.Databases[alias], "DATABASES."+alias
		if n := s.settings.Processes; n > 1 && inMemory(database) {
			add("quintet.E005", key+".NAME", fmt.Sprintf("is in memory, and PROCESSES is %d: each would have a database of its own", n),
				"name a file, or say PROCESSES: 1")
		}
		if database.ConnMaxAge == 0 && database.ConnMaxIdle != (db.Settings{}).WithDefaults().ConnMaxIdle && !inMemory(database) {
			add("quintet.W008", key+".CONN_MAX_IDLE", "has no effect: CONN_MAX_AGE is 0, and no connection is kept", "leave it out, or give CONN_MAX_AGE a value")
		}
	}
	if s.settings.SecureHSTSSeconds > 0 && len(s.settings.TrustedProxies) == 0 {
		add("quintet.W004", "SECURE_HSTS_SECONDS", "is set, but no proxy is believed when it says that the client uses TLS, and the site itself speaks HTTP",
			"list the proxy that ends TLS in TRUSTED_PROXIES")
	}
	if len(s.settings.AllowedHosts) > 1 && slices.Contains(s.settings.AllowedHosts, "*") {
		add("quintet.W006", "ALLOWED_HOSTS", "has \"*\", which is any host, and others that therefore say nothing", "remove \"*\"")
	}
	if host, _, err := net.SplitHostPort(s.settings.Listen); err == nil && s.settings.Debug && !isLoopback(host) {
		add("quintet.W007", "LISTEN", fmt.Sprintf("is %s, and DEBUG is true: the network sees the inside of the site", s.settings.Listen),
			"say 127.0.0.1, or DEBUG: false")
	}
	return append(found, s.checkSilenced()...)
}

// inMemory is a database that lives in the process.
func inMemory(s db.Settings) bool {
	return s.Engine == "sqlite" && (s.Name == ":memory:" || strings.Contains(s.Name, "mode=memory"))
}

// checkSilenced finds IDs that silence nothing. What apps may find is not known.
func (s *Site) checkSilenced() (found []Problem) {
	var ids []string
	for _, k := range knownProblems() {
		ids = append(ids, k.id)
	}
	for _, id := range s.settings.SilencedSystemChecks {
		if slices.Contains(ids, id) || isForeign(id) {
			continue
		}
		hint := "remove it; app/CHECKS.md lists the IDs"
		if meant := nearest(id, ids); meant != "" {
			hint = "did you mean " + meant + "?"
		}
		found = append(found, known("quintet.W010", s.setting("SILENCED_SYSTEM_CHECKS"), fmt.Sprintf("there is no %q to silence", id), hint))
	}
	return found
}

// checkStreams warns of connections that every query of a stream opens anew.
func checkStreams(s *Site, _ []App) (found []Problem) {
	streams := ""
	for _, r := range s.table {
		if isStream(r) {
			streams = fmt.Sprintf("%s streams (%s)", r.View, r.Source)
			break
		}
	}
	if n := s.settings.MaxStreams; streams == "" && n > 0 {
		streams = fmt.Sprintf("MAX_STREAMS is %d", n)
	}
	if streams == "" {
		return nil
	}
	for _, alias := range slices.Sorted(maps.Keys(s.settings.Databases)) {
		if database := s.settings.Databases[alias]; database.ConnMaxAge == 0 && !inMemory(database) {
			found = append(found, known("quintet.W001", s.setting("DATABASES."+alias+".CONN_MAX_AGE"),
				fmt.Sprintf("is 0, and %s: a stream that queries each second opens a connection each second", streams),
				"say CONN_MAX_AGE: 60 and CONN_HEALTH_CHECKS: true"))
		}
	}
	return found
}

// isStream reads the source of a view, if it is there, for a streaming response. No
// type says what a view is going to answer. As everything that gofmt has written,
// the function ends with a brace that stands as far left as its beginning.
func isStream(r *route) bool {
	f := runtime.FuncForPC(reflect.ValueOf(r.original).Pointer())
	file, line := f.FileLine(f.Entry())
	source, err := os.ReadFile(file)
	if err != nil {
		return false // of a program that was built elsewhere
	}
	lines := strings.Split(string(source), "\n")
	if line > len(lines) {
		return false
	}
	lines = lines[line-1:]
	indent := lines[0][:len(lines[0])-len(strings.TrimLeft(lines[0], "\t"))]
	for i, text := range lines {
		if strings.Contains(text, "views.StreamingResponse") || strings.Contains(text, "views.Events(") {
			return true
		}
		if i > 0 && strings.HasPrefix(text, indent+"}") {
			break
		}
	}
	return false
}

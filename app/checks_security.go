package app

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/goquintet/quintet/db"
)

const (
	leastSecretKey   = 50 // characters, as in Django
	leastDifferent   = 5
	insecureSecret   = "insecure" // marks what a scaffold has made up, here and in Django
	framework        = "github.com/goquintet/quintet"
	makeSecret       = "put one that \"openssl rand -base64 48\" has made into QUINTET_SECRET_KEY, or into a file that QUINTET_SECRET_KEY_FILE names"
	workingCopy      = "require a released version before others build the site"
	denyXFrame       = "say DENY, unless the site shows itself in frames"
	encryptedConnect = "say sslmode: verify-full in its OPTIONS, or require at least"
)

// checkSecurity looks for what is fine in development and dangerous in production.
func checkSecurity(s *Site, _ []App) (found []Problem) {
	add := func(id, key, message, hint string) { found = append(found, known(id, s.setting(key), message, hint)) }
	if s.settings.SecureHSTSSeconds == 0 {
		add("security.W004", "SECURE_HSTS_SECONDS", "is not set: browsers may come back without TLS",
			"when the site is reached over TLS only, say 3600, and later a year")
	}
	if problem := weakSecret(string(s.settings.SecretKey)); problem != "" {
		add("security.W009", "SECRET_KEY", problem, makeSecret)
	}
	if s.settings.Debug {
		add("security.W018", "DEBUG", "is true: errors show the inside of the site to everybody", "say false in production")
	}
	if s.settings.XFrameOptions != defaultXFrameOptions {
		add("security.W019", "X_FRAME_OPTIONS", "is not DENY: pages can be shown in frames", denyXFrame)
	}
	if len(s.settings.AllowedHosts) == 0 {
		add("security.W020", "ALLOWED_HOSTS", "is empty: without DEBUG every request is refused", "list the hosts of the site")
	}
	if slices.ContainsFunc(s.settings.TrustedProxies, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
		add("quintet.W005", "TRUSTED_PROXIES", "believes everybody: every client can make up its address and scheme",
			"list the networks of your proxies only")
	}
	for _, alias := range slices.Sorted(maps.Keys(s.settings.Databases)) {
		if database := s.settings.Databases[alias]; isOpenConnection(database) {
			add("quintet.W009", "DATABASES."+alias+".HOST",
				fmt.Sprintf("the connection to %s may be unencrypted: sslmode is %s", db.Redact("HOST", database.Host), sslmode(database)), encryptedConnect)
		}
	}
	return found
}

// weakSecret applies Django's rules.
func weakSecret(key string) string {
	different := make(map[rune]bool)
	for _, r := range key {
		different[r] = true
	}
	switch {
	case key == "":
		return "is not set"
	case strings.Contains(key, insecureSecret):
		return "is the one that the project was created with"
	case len([]rune(key)) < leastSecretKey:
		return fmt.Sprintf("has less than %d characters", leastSecretKey)
	case len(different) < leastDifferent:
		return fmt.Sprintf("has less than %d different characters", leastDifferent)
	}
	return ""
}

// isOpenConnection is a way over the network on which the server, or somebody
// between, decides about encryption.
func isOpenConnection(s db.Settings) bool {
	if s.Engine != "postgres" || s.Host == "" || strings.HasPrefix(s.Host, "/") || isLoopback(s.Host) || s.Options["service"] != "" {
		return false
	}
	return slices.Contains([]string{"disable", "allow", "prefer"}, sslmode(s))
}

func sslmode(s db.Settings) string {
	if mode := s.Options["sslmode"]; mode != "" {
		return mode
	}
	return "prefer"
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// checkBuild looks at what the program was built from.
func checkBuild(*Site, []App) []Problem {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	return inspectBuild(info)
}

func inspectBuild(info *debug.BuildInfo) []Problem {
	for _, module := range info.Deps {
		switch {
		case module.Path != framework:
		case module.Replace != nil:
			return []Problem{known("quintet.W002", "go.mod",
				fmt.Sprintf("%s is replaced by %s: the site builds only where that is", framework, module.Replace.Path), "remove the line; "+workingCopy)}
		case module.Version == "(devel)":
			return []Problem{known("quintet.W002", "go.work",
				fmt.Sprintf("%s is built from a working copy: the site builds only where that is", framework), workingCopy)}
		}
	}
	return nil
}

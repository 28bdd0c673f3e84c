package debug

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goquintet/quintet/db/pool"
)

const hidden = "[hidden]"

// namesSecret reports whether what has this name is not to be shown: Django's list, and
// what else is a secret in HTTP.
func namesSecret(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{
		"api", "auth", "token", "key", "secret", "pass", "signature", "cookie",
		"csrf", "session", "credential", "pwd", "jwt", "nonce", "assertion",
	} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// How long a value is at least that is hidden wherever it stands: one of a name that
// says that it is secret, one of a cookie or a header whose name says nothing, and one
// that is looked for inside of words as well.
const (
	leastSecret = 5
	leastOther  = 8
	leastInside = 8
)

// mostSecrets is how many values are looked for.
const mostSecrets = 200

// scrubber hides values wherever they stand.
type scrubber struct {
	words   []string // to be hidden as a word only
	inside  *strings.Replacer
	longest int
}

func newScrubber(secrets []string, shown map[string]bool) *scrubber {
	all := make(map[string]bool)
	for _, secret := range secrets {
		if len(secret) < leastSecret || shown[secret] || secret == hidden || secret == "false" || strings.TrimSpace(secret) == "" {
			continue
		}
		for _, spelt := range []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(strconv.Quote(secret), `"`),
		} {
			all[spelt] = true
		}
	}
	// The longest first: one that is a part of another leaves nothing of that.
	sorted := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	s := &scrubber{}
	var pairs []string
	for i, secret := range sorted {
		if i == 0 {
			s.longest = len(secret)
		}
		switch {
		case i >= mostSecrets:
		case len(secret) >= leastInside:
			pairs = append(pairs, secret, hidden)
		default:
			s.words = append(s.words, secret)
		}
	}
	s.inside = strings.NewReplacer(pairs...)
	return s
}

func (s *scrubber) hide(text string) string {
	text = s.inside.Replace(text)
	for _, word := range s.words {
		text = replaceWord(text, word)
	}
	return text
}

// replaceWord hides a word, but not where it is a part of another.
func replaceWord(text, word string) string {
	if !strings.Contains(text, word) {
		return text
	}
	inWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	var b strings.Builder
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			b.WriteString(text[from:])
			return b.String()
		}
		at := from + i
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[at+len(word):])
		b.WriteString(text[from:at])
		if inWord(before) || inWord(after) {
			b.WriteString(word)
		} else {
			b.WriteString(hidden)
		}
		from = at + len(word)
	}
}

// secretsOf are the values of a request that its page does not show.
func secretsOf(r *http.Request, form url.Values) (secrets []string) {
	if r == nil {
		return nil
	}
	take := func(name string, values ...string) {
		least := leastOther
		if namesSecret(name) {
			least = leastSecret
		}
		for _, value := range values {
			if len(value) >= least {
				secrets = append(secrets, value)
			}
		}
	}
	for _, cookie := range r.Cookies() {
		take(cookie.Name, cookie.Value)
	}
	for name, values := range r.Header {
		if !namesSecret(name) || name == "Cookie" {
			continue
		}
		take(name, values...)
		for _, value := range values {
			scheme, credentials, _ := strings.Cut(value, " ")
			take("", credentials)
			if !strings.EqualFold(scheme, "Basic") {
				continue
			}
			if plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(credentials)); err == nil { // else no password is known
				_, password, _ := strings.Cut(string(plain), ":")
				take("password", string(plain), password)
			}
		}
	}
	values := []url.Values{form}
	if r.URL != nil {
		values = append(values, r.URL.Query())
		if password, ok := r.URL.User.Password(); ok {
			take("password", password)
		}
	}
	if from, err := url.Parse(r.Referer()); err == nil { // what is no address has no parameters
		values = append(values, from.Query())
	}
	for _, these := range values {
		for name, list := range these {
			if namesSecret(name) {
				take(name, list...)
			}
		}
	}
	for _, name := range wildcards(r.Pattern) {
		if namesSecret(name) {
			take(name, r.PathValue(name))
		}
	}
	return secrets
}

// wildcards are the names in a pattern: "/reset/{token}" has one.
func wildcards(pattern string) (names []string) {
	for part := range strings.SplitSeq(pattern, "{") {
		if name, _, ok := strings.Cut(part, "}"); ok && name != "$" {
			names = append(names, strings.TrimSuffix(name, "..."))
		}
	}
	return names
}

// hideQuery hides the values of a query by their names, and keeps its order.
func hideQuery(query string) string {
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, _, ok := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if ok && (err != nil || namesSecret(plain)) {
			pairs[i] = name + "=" + hidden
		}
	}
	return strings.Join(pairs, "&")
}

// hideURL hides what is secret in an address: who asks with which password, and the
// values of its query.
func hideURL(address string) string {
	path, query, hasQuery := strings.Cut(address, "?")
	scheme, rest, _ := strings.Cut(path, "://")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		path = scheme + "://" + hidden + rest[at:]
	}
	if !hasQuery {
		return path
	}
	query, fragment, hasFragment := strings.Cut(query, "#")
	if query = hideQuery(query); hasFragment {
		query += "#" + fragment
	}
	return path + "?" + query
}

// inErrors hides what statements may have left in the text of an error: the statement
// itself, and of one that failed its values, which databases quote.
type inErrors struct{ pairs []string }

func newInErrors(statements []Sent) inErrors {
	var e inErrors
	seen := make(map[string]bool)
	for _, s := range statements {
		short := pool.Shorten(s.Query)
		if seen[short] && !s.Failed {
			continue
		}
		seen[short] = true
		clean := pool.Fingerprint(s.Query)
		if clean != short {
			e.pairs = append(e.pairs, s.Query, clean, short, clean)
			e.pairs = append(e.pairs, strings.Trim(strconv.Quote(short), `"`), clean)
		}
		if !s.Failed {
			continue
		}
		for _, value := range pool.Values(s.Query) {
			if len(value) >= leastSecret {
				e.pairs = append(e.pairs, value, hidden)
			}
		}
	}
	return e
}

func (e inErrors) hide(text string) string {
	for i := 0; i+1 < len(e.pairs); i += 2 {
		if e.pairs[i] != "" {
			text = strings.ReplaceAll(text, e.pairs[i], e.pairs[i+1])
		}
	}
	return text
}

package reload

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// follow adds the script to a page that a browser has asked for as such. It goes
// behind the last byte, so that nothing is waited for and nothing is read.
func follow(response *http.Response, id string) {
	if !takesScript(response) {
		return
	}
	script := fmt.Sprintf("\n<script src=\"%s?%s\" async></script>\n", pathScript, id)
	if response.ContentLength > 0 {
		response.ContentLength += int64(len(script))
		response.Header.Set("Content-Length", strconv.FormatInt(response.ContentLength, 10))
	}
	response.Body = &lengthened{ReadCloser: response.Body, rest: script}
}

// lengthened is a body with something behind it. One that breaks off gets nothing.
type lengthened struct {
	io.ReadCloser
	rest string
	over bool
}

func (l *lengthened) Read(b []byte) (int, error) {
	if !l.over {
		n, err := l.ReadCloser.Read(b)
		if err != io.EOF {
			return n, err
		}
		if l.over = true; n > 0 {
			return n, nil
		}
	}
	if l.rest == "" {
		return 0, io.EOF
	}
	n := copy(b, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func takesScript(response *http.Response) bool {
	request, header := response.Request, response.Header
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	switch {
	case request.Method != http.MethodGet, request.Header.Get("Sec-Fetch-Dest") != "document": // a fragment, a program
		return false
	case err != nil || media != "text/html", response.ContentLength == 0:
		return false
	case response.StatusCode == http.StatusPartialContent, response.StatusCode < http.StatusOK:
		return false
	case strings.Contains(strings.ToLower(header.Get("Cache-Control")), "no-transform"):
		return false
	}
	for _, says := range []string{"Content-Encoding", "Content-Range", "Content-Digest", "Repr-Digest", "Digest", "Trailer"} {
		if header.Get(says) != "" {
			return false
		}
	}
	if disposition := header.Get("Content-Disposition"); strings.HasPrefix(strings.ToLower(disposition), "attachment") {
		return false
	}
	return !slices.ContainsFunc(slices.Concat(header.Values("Content-Security-Policy"), header.Values("Content-Security-Policy-Report-Only")), forbids)
}

// forbids reports whether a policy would complain of the script, or of what it
// connects to.
func forbids(policies string) bool {
	for policy := range strings.SplitSeq(policies, ",") {
		directives := make(map[string][]string)
		for directive := range strings.SplitSeq(policy, ";") {
			if words := strings.Fields(directive); len(words) > 0 {
				name := strings.ToLower(words[0])
				if _, again := directives[name]; !again { // the first one counts
					directives[name] = words[1:]
				}
			}
		}
		if _, boxed := directives["sandbox"]; boxed {
			return true
		}
		if !permits(directives, "script-src-elem", "script-src", "default-src") || !permits(directives, "connect-src", "default-src") {
			return true
		}
	}
	return false
}

// permits looks at the first of the directives that the policy has.
func permits(directives map[string][]string, names ...string) bool {
	for _, name := range names {
		sources, has := directives[name]
		if !has {
			continue
		}
		is := func(word string) bool {
			return slices.ContainsFunc(sources, func(s string) bool { return strings.EqualFold(s, word) })
		}
		return is("'self'") && !is("'strict-dynamic'")
	}
	return true // what no directive names is free
}

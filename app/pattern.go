package app

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// pattern is a path as net/http writes them: "/polls/{id}", "/files/{path...}".
// It takes whole paths: a slash at the end takes nothing below it, and "{$}" says
// the same once more.
type pattern struct {
	text     string
	segments []segment
	names    []string // of the wildcards, in their order
}

// A segment is what stands between two slashes.
type segment struct {
	literal string // decoded
	name    string // of a wildcard
	rest    bool   // the wildcard takes everything that follows
}

var identifier = regexp.MustCompile(`^[\pL_][\pL_\p{Nd}]*$`)

// parsePattern reads a pattern below a prefix.
func parsePattern(prefix, path string) (p pattern, err error) {
	text := strings.TrimSuffix(prefix+path, "{$}")
	p.text = text
	if text == "" || text[0] != '/' {
		if _, rest, ok := strings.Cut(path, " "); ok && strings.HasPrefix(rest, "/") {
			return p, fmt.Errorf("has a method in its path; the method is the name of the function")
		}
		return p, fmt.Errorf("does not begin with a slash")
	}
	parts := strings.Split(text[1:], "/")
	for i, part := range parts {
		last := i == len(parts)-1
		s, err := parseSegment(part, last)
		if err != nil {
			return p, err
		}
		if s.name != "" {
			if slices.Contains(p.names, s.name) {
				return p, fmt.Errorf("has two wildcards of the name %q", s.name)
			}
			p.names = append(p.names, s.name)
		}
		p.segments = append(p.segments, s)
	}
	return p, nil
}

func parseSegment(part string, last bool) (s segment, err error) {
	inside, opened := strings.CutPrefix(part, "{")
	inside, closed := strings.CutSuffix(inside, "}")
	switch {
	case part == "" && !last:
		return s, fmt.Errorf("has an empty segment (//)")
	case !opened && !closed && !strings.ContainsAny(part, "{}"):
		s.literal, err = url.PathUnescape(part)
		if err != nil {
			return s, fmt.Errorf("has the segment %q, which does not decode", part)
		}
		return s, nil
	case !opened || !closed:
		return s, fmt.Errorf("has the segment %q; a wildcard is a whole segment, such as {id}", part)
	case inside == "$":
		return s, fmt.Errorf("has {$} before its end")
	}
	s.name, s.rest = strings.CutSuffix(inside, "...")
	switch {
	case !identifier.MatchString(s.name):
		return s, fmt.Errorf("has the wildcard %q, whose name is no identifier", part)
	case s.rest && !last:
		return s, fmt.Errorf("has %s before its end", part)
	}
	return s, nil
}

// shape is equal for patterns that take the same paths.
func (p pattern) shape() string { return p.write(func(segment) string { return "{}" }) }

// routerPath is the pattern in the words of the router: see routerPath below.
func (p pattern) routerPath() string {
	return p.write(func(s segment) string { return ":" + s.name })
}

func (p pattern) write(wildcard func(segment) string) string {
	var b strings.Builder
	for _, s := range p.segments {
		b.WriteByte('/')
		switch {
		case s.rest:
			b.WriteByte('*')
		case s.name != "":
			b.WriteString(wildcard(s))
		default:
			b.WriteString(escapeSegment(s.literal))
		}
	}
	return b.String()
}

// match reads the values of the wildcards from a path that the router has found to
// be one of the pattern's, and reports whether they are all there: one that takes
// a segment does not take an empty one.
func (p pattern) match(path string, values []string) bool {
	n := 0
	for _, s := range p.segments {
		path = strings.TrimPrefix(path, "/")
		value, rest := path, ""
		if i := strings.IndexByte(path, '/'); i >= 0 && !s.rest {
			value, rest = path[:i], path[i:]
		}
		path = rest
		if s.name == "" {
			continue
		}
		if value == "" && !s.rest {
			return false
		}
		values[n] = unescapeSegment(value)
		n++
	}
	return true
}

// reverse fills the wildcards.
func (p pattern) reverse(args []any) (string, error) {
	if len(args) != len(p.names) {
		return "", fmt.Errorf("%q has %d wildcards, and %d arguments were given", p.text, len(p.names), len(args))
	}
	var b strings.Builder
	for _, s := range p.segments {
		b.WriteByte('/')
		if s.name == "" {
			b.WriteString(url.PathEscape(s.literal))
			continue
		}
		value := fmt.Sprint(args[0])
		args = args[1:]
		switch {
		case s.rest:
			b.WriteString((&url.URL{Path: value}).EscapedPath())
		case value == "":
			return "", fmt.Errorf("%q takes no empty %s", p.text, s.name)
		default:
			b.WriteString(url.PathEscape(value))
		}
	}
	return b.String(), nil
}

// The router splits paths at slashes and gives ':' and '*' a meaning of its own.
// It therefore sees decoded paths in which these, and the escape character, are
// escaped inside a segment. Wildcards get their values decoded from there: once.
const special = "%:*"

// routerPath returns the path of a URL as the router sees it.
func routerPath(u *url.URL) string {
	if u.RawPath == "" {
		if u.Path == "" {
			return "/"
		}
		if !strings.ContainsAny(u.Path, special) {
			return u.Path
		}
	}
	segments := strings.Split(u.EscapedPath(), "/")
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil { // EscapedPath never returns such
			decoded = s
		}
		segments[i] = escapeSegment(decoded)
	}
	return strings.Join(segments, "/")
}

func escapeSegment(s string) string {
	if !strings.ContainsAny(s, special+"/") {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; strings.IndexByte(special+"/", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func unescapeSegment(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	decoded, err := url.PathUnescape(s)
	if err != nil { // escapeSegment writes no such
		return s
	}
	return decoded
}

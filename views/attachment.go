package views

import (
	"fmt"
	"net/http"
	"strings"
	"unicode"
)

// attach has browsers save the body under this name.
func (h *head) attach(name string) error {
	if name == "" {
		return nil
	}
	if given := h.get("Content-Disposition"); given != "" {
		return fmt.Errorf("views: %s: the Header has a Content-Disposition, %q, besides Attachment, %q: say it once", h.kind, given, name)
	}
	if h.header = h.header.Clone(); h.header == nil {
		h.header = make(http.Header)
	}
	h.header.Set("Content-Disposition", disposition(name))
	return nil
}

// disposition is the Content-Disposition of an attachment (RFC 6266). A name that
// every browser reads alike stands alone; any other stands in UTF-8 (RFC 8187)
// behind one that is nearly the same, for clients that know no better.
func disposition(name string) string {
	name = safeName(name)
	plain := strings.Map(func(c rune) rune {
		if c > '~' || strings.ContainsRune(`"%`, c) {
			return '_'
		}
		return c
	}, name)
	value := `attachment; filename="` + plain + `"`
	if plain != name {
		value += "; filename*=UTF-8''" + extValue(name)
	}
	return value
}

// safeName replaces what no name of a file has: separators of folders, control
// characters, and those that turn the direction of the text around, so that a name
// looks as if it ended differently.
func safeName(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '/' || c == '\\' || unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) || c == unicode.ReplacementChar {
			return '_'
		}
		return c
	}, strings.ToValidUTF8(name, "_"))
}

// extValue encodes a value as RFC 8187 does.
func extValue(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$&+-.^_`|~", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

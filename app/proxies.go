package app

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ClientIP returns the address of the client of a request: that of the other end
// of the connection, or, when this is one of TRUSTED_PROXIES, the last address in
// X-Forwarded-For that is not. It is the zero Addr when the request came from
// nowhere, as in a test, or over a unix socket.
func ClientIP(r *http.Request) netip.Addr {
	peer := peerOf(r)
	q := requestOf(r.Context(), nil)
	if q == nil || !q.site.trusts(peer) {
		return peer
	}
	client := peer
	for _, hop := range slices.Backward(strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")) {
		address, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			break
		}
		client = address
		if !q.site.trusts(address) {
			break
		}
	}
	return client
}

// Scheme returns "https" for a request that the client sent over TLS: to this
// server, or to one of TRUSTED_PROXIES that says so in X-Forwarded-Proto. Otherwise
// it returns "http".
func Scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	if q := requestOf(r.Context(), nil); q != nil && q.site.trusts(peerOf(r)) &&
		strings.EqualFold(lastOf(r.Header["X-Forwarded-Proto"]), "https") {
		return "https"
	}
	return "http"
}

// trusts reports whether the headers of this peer are believed.
func (s *Site) trusts(peer netip.Addr) bool {
	return peer.IsValid() && slices.ContainsFunc(s.settings.TrustedProxies, func(network netip.Prefix) bool {
		return network.Contains(peer)
	})
}

func peerOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap().WithZone("")
}

// parseHop reads an address as proxies write it: some add the port.
func parseHop(hop string) (netip.Addr, bool) {
	if address, err := netip.ParseAddr(strings.Trim(hop, "[]")); err == nil {
		return address.Unmap().WithZone(""), true
	}
	address, err := netip.ParseAddrPort(hop)
	return address.Addr().Unmap().WithZone(""), err == nil
}

// lastOf is what the nearest proxy said.
func lastOf(values []string) string {
	if len(values) == 0 {
		return ""
	}
	value := values[len(values)-1]
	return strings.TrimSpace(value[strings.LastIndexByte(value, ',')+1:])
}

// identify gives the request its id and its host: those that a trusted proxy has
// given it, otherwise an id of its own.
func (q *request) identify() {
	if len(q.site.settings.TrustedProxies) > 0 && q.site.trusts(peerOf(q.http)) {
		if id := q.http.Header.Get("X-Request-Id"); validID(id) {
			q.id = id
		}
		if host := lastOf(q.http.Header["X-Forwarded-Host"]); host != "" {
			q.http.Host = host
		}
	}
	if q.id == "" {
		var digits [26]byte
		id := strconv.AppendUint(digits[:0], rand.Uint64(), 36)
		q.id = string(strconv.AppendUint(id, rand.Uint64(), 36))
	}
}

// validID accepts what may stand in a header and in a log as it is.
func validID(id string) bool {
	return id != "" && len(id) <= 128 && !strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' })
}

package app

import (
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// UnixPeers stands in [Settings.TrustedProxies] for whoever connects over a unix
// socket: the peer has no address there, and the permissions of the socket's file
// say who it can be. In TRUSTED_PROXIES it is the word "unix". It is no network, and
// contains no address.
func UnixPeers() netip.Prefix { return netip.PrefixFrom(netip.IPv6Unspecified(), -1) }

const unixPeers = "unix"

// ClientIP returns the address of the client of a request: that of the other end
// of the connection, or, when this is one of TRUSTED_PROXIES, the last address in
// X-Forwarded-For that is not. It is the zero Addr when the request came from
// nowhere, as in a test, or over a unix socket that is not trusted.
func ClientIP(r *http.Request) netip.Addr {
	peer := peerOf(r)
	q := requestOf(r.Context(), nil)
	if q == nil || !q.site.trustsPeer(r) {
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
	if q := requestOf(r.Context(), nil); q != nil && q.site.trustsPeer(r) &&
		strings.EqualFold(lastOf(r.Header["X-Forwarded-Proto"]), "https") {
		return "https"
	}
	return "http"
}

// trustsPeer reports whether the headers are believed that the other end of the
// connection has sent.
func (s *Site) trustsPeer(r *http.Request) bool {
	if len(s.settings.TrustedProxies) == 0 {
		return false
	}
	return s.trusts(peerOf(r)) || slices.Contains(s.settings.TrustedProxies, UnixPeers()) && overUnix(r)
}

// overUnix asks for our own end of the connection: the other one has no name.
func overUnix(r *http.Request) bool {
	address, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && address.Network() == "unix"
}

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

// clientText is the client as the log shows it.
func clientText(r *http.Request) string {
	client := ClientIP(r)
	switch {
	case client.IsValid():
		return client.String()
	case overUnix(r):
		return unixPeers
	}
	return ""
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
	if q.site.trustsPeer(q.http) {
		if id := q.http.Header.Get("X-Request-Id"); validID(id) {
			q.id = id
		}
		if host := lastOf(q.http.Header["X-Forwarded-Host"]); host != "" {
			q.http.Host = host
		}
	}
	if q.id == "" {
		var digits [26]byte
		id := strconv.AppendUint(digits[:0], rand.Uint64(), 32)
		q.id = string(strconv.AppendUint(id, rand.Uint64(), 32))
	}
}

// validID accepts what may stand in a header and in a log as it is.
func validID(id string) bool {
	return id != "" && len(id) <= 128 && !strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' })
}

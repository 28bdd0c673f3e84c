package db_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// nameserver answers for the hosts that tests make up, over UDP, and knows no others.
type nameserver struct {
	socket net.PacketConn

	mu    sync.Mutex // guards the rest
	hosts map[string][]string
}

// names is what this process asks: the resolver belongs to the whole of it, and must be
// in place before a test runs.
var names = &nameserver{hosts: make(map[string][]string)}

// takeOver makes it the one that the process asks for names. Addresses need none.
func (n *nameserver) takeOver() (err error) {
	n.socket, err = new(net.ListenConfig).ListenPacket(context.Background(), "udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", n.socket.LocalAddr().String())
	}}
	go n.serve()
	return nil
}

// point leads a name to addresses from now on.
func (n *nameserver) point(name string, addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[name] = addresses
}

func (n *nameserver) serve() {
	buf := make([]byte, 1500)
	for {
		size, from, err := n.socket.ReadFrom(buf)
		if err != nil {
			return // the process ends
		}
		if answer, err := n.answer(buf[:size]); err == nil { // who sends nonsense waits in vain
			_, _ = n.socket.WriteTo(answer, from)
		}
	}
}

func (n *nameserver) answer(question []byte) ([]byte, error) {
	var message dnsmessage.Message
	if err := message.Unpack(question); err != nil {
		return nil, err
	}
	asked := message.Questions[0]
	n.mu.Lock()
	addresses, known := n.hosts[asked.Name.String()]
	n.mu.Unlock()
	message.Response, message.RecursionAvailable, message.Additionals = true, true, nil
	if !known {
		message.RCode = dnsmessage.RCodeNameError
	}
	if asked.Type == dnsmessage.TypeA {
		for _, address := range addresses {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: asked.Name, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.AResource{A: [4]byte(net.ParseIP(address).To4())},
			})
		}
	}
	return message.Pack()
}

func TestNameserver_LeadsWhereItIsTold(t *testing.T) {
	t.Parallel()
	names.point("told.test.", "127.0.0.3", "127.0.0.2")
	found, err := net.DefaultResolver.LookupHost(t.Context(), "told.test.")
	if err != nil || len(found) != 2 || found[0] != "127.0.0.3" {
		t.Errorf("it leads to %v, %v", found, err)
	}
	if found, err := net.DefaultResolver.LookupHost(t.Context(), "nowhere.test."); err == nil {
		t.Errorf("a name that nobody has made up leads to %v", found)
	}
}

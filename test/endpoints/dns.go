// SPDX-License-Identifier: Apache-2.0

package endpoints

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// Zone says what a name server knows. Names are in lower case and end in a dot.
type Zone struct {
	// Addresses are those of each name, in order. "*." stands for every name below.
	Addresses map[string][]netip.Addr
	// Failing is the end of the names that it does not find out about.
	Failing string
}

// lookup answers for a name: it exists, it does not, or that cannot be said.
func (z *Zone) lookup(name string) ([]netip.Addr, dnsmessage.RCode) {
	if z.Failing != "" && strings.HasSuffix(name, z.Failing) {
		return nil, dnsmessage.RCodeServerFailure
	}
	if addrs, ok := z.Addresses[name]; ok {
		return addrs, dnsmessage.RCodeSuccess
	}
	for wildcard, addrs := range z.Addresses {
		if end, ok := strings.CutPrefix(wildcard, "*"); ok && strings.HasSuffix(name, end) {
			return addrs, dnsmessage.RCodeSuccess
		}
	}
	return nil, dnsmessage.RCodeNameError
}

// DNS is a name server.
type DNS struct {
	conn net.PacketConn
	zone Zone

	mu    sync.Mutex
	asked []string
}

// StartDNS starts a name server on a free port of loopback.
func StartDNS(zone Zone) (*DNS, error) { return startDNS("127.0.0.1:0", zone) }

// StartSystemDNS starts a name server where resolv.conf can name it, on port 53 of
// loopback. The process must be inside; see [RunWithDistance].
func StartSystemDNS(zone Zone) (*DNS, error) {
	if !inDistanceNetwork() {
		return nil, ErrNoNetwork
	}
	return startDNS("127.0.0.1:53", zone)
}

func startDNS(address string, zone Zone) (*DNS, error) {
	var config net.ListenConfig
	conn, err := config.ListenPacket(context.Background(), "udp", address)
	if err != nil {
		return nil, err
	}
	d := &DNS{conn: conn, zone: zone}
	go d.serve()
	return d, nil
}

// Close ends it.
func (d *DNS) Close() { _ = d.conn.Close() }

// Resolver asks it, with the search list of this machine.
func (d *DNS) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "udp", d.conn.LocalAddr().String())
	}}
}

// Asked returns the questions that came since it was asked last, each as type and
// name, in order of the alphabet.
func (d *DNS) Asked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	asked := d.asked
	d.asked = nil
	slices.Sort(asked)
	return asked
}

func (d *DNS) serve() {
	packet := make([]byte, 1500)
	for {
		n, from, err := d.conn.ReadFrom(packet)
		if err != nil {
			return
		}
		if answer, err := d.answer(packet[:n]); err == nil {
			_, _ = d.conn.WriteTo(answer, from)
		}
	}
}

func (d *DNS) answer(packet []byte) ([]byte, error) {
	var message dnsmessage.Message
	if err := message.Unpack(packet); err != nil || len(message.Questions) != 1 {
		return nil, dnsmessage.ErrSectionDone
	}
	question := message.Questions[0]
	name := strings.ToLower(question.Name.String())
	d.mu.Lock()
	d.asked = append(d.asked, strings.TrimPrefix(question.Type.String(), "Type")+" "+name)
	d.mu.Unlock()
	answer := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: message.ID, Response: true, RecursionDesired: true, RecursionAvailable: true},
		Questions: message.Questions,
	}
	addrs, code := d.zone.lookup(name)
	answer.RCode = code
	for _, addr := range addrs {
		head := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class, TTL: 1}
		switch {
		case addr.Is4() && question.Type == dnsmessage.TypeA:
			answer.Answers = append(answer.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: addr.As4()}})
		case addr.Is6() && question.Type == dnsmessage.TypeAAAA:
			answer.Answers = append(answer.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	return answer.Pack()
}

// SPDX-License-Identifier: Apache-2.0

package endpoints

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// Zone answers for names, which are in lower case and end in a dot: their
// addresses, in order, or none where they do not exist.
type Zone func(name string) []netip.Addr

// DNS is a name server.
type DNS struct {
	conn net.PacketConn
	zone Zone

	mu    sync.Mutex
	asked []string
}

// StartDNS starts a name server on a free port of loopback.
func StartDNS(zone Zone) (*DNS, error) {
	var config net.ListenConfig
	conn, err := config.ListenPacket(context.Background(), "udp", "127.0.0.1:0")
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

// Asked are the questions that came, each as type and name.
func (d *DNS) Asked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.asked...)
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
	addrs := d.zone(name)
	if len(addrs) == 0 {
		answer.RCode = dnsmessage.RCodeNameError
	}
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

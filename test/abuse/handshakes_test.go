// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"time"
)

// handshakeAttacks are on what comes before a request over TLS.
func handshakeAttacks() []attack {
	return []attack{
		{name: "handshakes that never end", act: stallHandshakes, after: (*scene).heldConnections, cores: 1.25},
	}
}

// stallHandshakes holds connections that have not agreed on keys, and repeats
// handshakes that it does not use.
func stallHandshakes(a *attacker) {
	const shaking = 8
	for range shaking {
		go func() {
			for a.Err() == nil {
				a.shakeHands()
			}
		}()
	}
	a.stallMany(handshakesThatStall(a.Host))
}

// shakeHands agrees on keys and says no more.
func (a *attacker) shakeHands() {
	conn, err := (&tls.Dialer{Config: attackerTLSConfig(a.GatewayCA)}).DialContext(a, "tcp", a.Host)
	if err != nil {
		a.wait(50 * time.Millisecond)
		return
	}
	a.note("handshakes", "", 0)
	_ = conn.Close()
}

// handshakesThatStall are how a handshake does not end.
func handshakesThatStall(host string) []stalled {
	hello := clientHello()
	// record is one of TLS 1.2 as it is sent: 22 is a handshake's.
	record := func(kind byte, body string) string {
		return string(binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(len(body)))) + body
	}
	const most = 1 << 14 // of a record
	return []stalled{
		{begin: ""},
		{begin: hello[:3]},
		{begin: hello[:len(hello)/2]},
		{begin: hello},
		{begin: hello[:5], trickle: "\x00", every: time.Second},
		{begin: hello[:len(hello)-1], trickle: "\x00", every: time.Second},
		{begin: record(22, "\x01\x00\xff\xff"+strings.Repeat("\x03", most-4))}, // the first quarter of a hello of 64 KiB
		{begin: record(22, "\x01\xff\xff\xff"+strings.Repeat("\x03", most-4))}, // of 16 MiB
		{begin: strings.Repeat(record(22, ""), 1000), trickle: record(22, ""), every: time.Second},
		{begin: strings.Repeat(record(21, "\x01\x00"), 10)}, // warnings
		{begin: hello + record(20, "\x01") + record(23, strings.Repeat("x", 1000))},
		{begin: "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n"},
		{begin: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	}
}

// clientHello is what a client says first.
func clientHello() string {
	ours, theirs := net.Pipe()
	go func() {
		_ = tls.Client(ours, &tls.Config{ServerName: "localhost", MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}).Handshake()
	}()
	defer ours.Close()
	head := make([]byte, 5)
	if _, err := io.ReadFull(theirs, head); err != nil {
		return ""
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(theirs, body); err != nil {
		return ""
	}
	return string(head) + string(body)
}

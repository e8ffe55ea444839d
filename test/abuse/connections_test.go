// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// connectionAttacks hold connections to the gateway.
func connectionAttacks() []attack {
	return []attack{
		{name: "connections whose request never ends", arrange: (*scene).powerless, act: stallConnections, after: (*scene).heldConnections, cores: 1},
	}
}

// stalled are connections in numbers, each of which sends something and then
// nothing, or hardly anything.
type stalled struct {
	begin   string        // sent at once
	trickle string        // sent again and again
	every   time.Duration // between two
}

// requestsThatStall are how a request does not end.
func requestsThatStall(host, token string) []stalled {
	large := "X-Large: " + strings.Repeat("x", 60<<10) + "\r\n"
	to := "Host: " + host + "\r\n"
	bearer := "Authorization: Bearer " + token + "\r\n"
	publish := "POST /v1/events HTTP/1.1\r\n" + to
	return []stalled{
		{begin: publish + large + "Content-Length: 200000\r\n\r\n"},
		{begin: publish + bearer + large + "Content-Length: 200000\r\n\r\n"},
		{begin: publish + bearer + "Content-Length: 200000\r\n\r\n{", trickle: " ", every: time.Second},
		{begin: publish + bearer + "Expect: 100-continue\r\nContent-Length: 200000\r\n\r\n"},
		{begin: publish + bearer + "Transfer-Encoding: chunked\r\n\r\n", trickle: "1\r\n \r\n", every: time.Second},
		{begin: publish + "Content-Type: application/cloudevents-batch+json\r\nContent-Length: 8000000\r\n\r\n["},
		{begin: "POST /v1/webhooks HTTP/1.1\r\n" + to + bearer + large + "Content-Type: application/json\r\nContent-Length: 900000\r\n\r\n{"},
		{begin: "PUT /v1/webhooks/wh_0123456789abcdef HTTP/1.1\r\n" + to + bearer + "Content-Length: 1000\r\n\r\n", trickle: " ", every: time.Second},
		{begin: "POST /dashboard/sign-in HTTP/1.1\r\n" + to + large + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100000\r\n\r\ntoken=a"},
		{begin: "GET /nowhere HTTP/1.1\r\n" + to + large + "Content-Length: 200000\r\n\r\n"},
		{begin: "GET /openapi.json HTTP/1.1\r\n" + to + large + "Content-Length: 200000\r\n\r\n"},
		{begin: "DELETE /healthz HTTP/1.1\r\n" + to + "Transfer-Encoding: chunked\r\n\r\nffffff\r\n", trickle: "x", every: time.Second},
		{begin: "GET / HTTP/1.1\r\n" + to + "X-Slow: ", trickle: "x", every: time.Second},
		{begin: "GET / HTTP/1.1\r\n" + to + large[:50<<10]},
		{begin: "GET /he"},
		{begin: ""},
	}
}

// stallConnections holds as many connections as it can, and opens another where
// one is closed.
func stallConnections(a *attacker) { a.stallMany(requestsThatStall(a.Host, a.Tokens["powerless-0"])) }

func (a *attacker) stallMany(kinds []stalled) {
	many := 3000
	if a.Full {
		many = 10_000
	}
	var all sync.WaitGroup
	pause := time.NewTicker(time.Millisecond) // a thousand a second, as many as a script opens
	defer pause.Stop()
	for i := range many {
		select {
		case <-pause.C:
		case <-a.Done():
		}
		all.Go(func() {
			for a.Err() == nil {
				a.stall(kinds[i%len(kinds)])
				a.wait(time.Second)
			}
		})
	}
	all.Wait()
}

// stall holds one connection until it is closed.
func (a *attacker) stall(kind stalled) {
	began := time.Now()
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(a, "tcp", a.Host)
	if err != nil {
		if a.Err() == nil {
			a.note("not connected", err.Error(), 0)
		}
		return
	}
	defer a.closeAtEnd(conn)()
	if _, err := io.WriteString(conn, kind.begin); err == nil && kind.trickle != "" {
		go func() {
			for a.Err() == nil {
				a.wait(kind.every)
				if _, err := io.WriteString(conn, kind.trickle); err != nil {
					return
				}
			}
		}()
	}
	_, _ = io.Copy(io.Discard, conn)
	if a.Err() == nil {
		a.note("closed", strconv.Quote(kind.begin), time.Since(began))
	} else {
		a.note("held to the end", strconv.Quote(kind.begin), time.Since(began))
	}
}

func (s *scene) heldConnections(found attackReport) {
	s.figure("connections: %v", found.Answers)
	if found.total() == 0 {
		s.Error("no connection was made: it has proved nothing")
	}
}

// powerless gives the attacker a token without any right.
func (s *scene) powerless() { s.token("powerless-0") }

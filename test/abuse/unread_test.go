// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// unreadAttacks take no answers.
func unreadAttacks() []attack {
	return []attack{
		{name: "answers that nobody reads", arrange: arrangePages, act: readNothing, after: (*scene).gotConnections, cores: 1},
	}
}

// largeDeliveries is how many there are to read.
const largeDeliveries = 20

// arrangePages lets the attacker read something that is large.
func arrangePages(s *scene) {
	s.token("viewer", "bbmcp-viewer", "bbmcp-delivery-viewer")
	hook := newProductWebhook(s.namespace, "held", "http://127.1.0.1:9/")
	hook.Spec.Suspend = true
	s.try(s.declare(s.ctx, hook))
	for i := range largeDeliveries {
		payload := `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{"text":"` + strings.Repeat("x", 200_000) + `"}}`
		s.try(s.stack.Client.Create(s.ctx, newDelivery(s.namespace, fmt.Sprint("large-", i), hook.Name, payload)))
	}
}

// readNothing asks for large answers, many on each connection, and reads none; and
// it follows pages whose news it does not read.
func readNothing(a *attacker) {
	many := 400
	if a.Full {
		many = 2000
	}
	bearer := "Authorization: Bearer " + a.Tokens["viewer"] + "\r\n"
	get := func(path string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: " + a.Host + "\r\n" + bearer + "\r\n"
	}
	kinds := []string{
		strings.Repeat(get("/openapi.json"), 200),
		strings.Repeat(get("/v1/event-types"), 200),
		strings.Repeat(get("/dashboard/ns/"+a.Namespace+"/"), 100),
		get("/dashboard/ns/" + a.Namespace + "/live"),
		strings.Repeat(get("/v1/webhooks"), 300),
		strings.Repeat(get("/dashboard/assets/nothing"), 500),
	}
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(a, "tcp", a.Host)
			if err != nil {
				return
			}
			defer conn.Close()
			_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			a.note("connected", "", 0)
			_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
			_, _ = io.WriteString(conn, kinds[i%len(kinds)])
			<-a.Done()
		})
	}
	all.Wait()
}

func (s *scene) gotConnections(found attackReport) {
	if found.Answers["connected"] < 100 {
		s.Errorf("only %d connections were made", found.Answers["connected"])
	}
}

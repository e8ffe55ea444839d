// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// largeAttacks are as large as it may be.
func largeAttacks() []attack {
	return []attack{
		{name: "large bodies to endpoints that are slow", arrange: declareSlow, act: publishLarge, after: (*scene).someAnswers, cores: 0.75},
		{name: "large bodies that have to be stored", arrange: declareHanging, act: publishStored, after: (*scene).someAnswers, cores: 0.75},
	}
}

// declareSlow declares webhooks whose endpoints answer just before a publisher
// waits no longer, so that nothing has to be stored.
func declareSlow(s *scene) { s.declareLarge(receiver.Step{Delay: 7 * time.Second}) }

// publishLarge publishes over many connections, and waits as long as it may.
func publishLarge(a *attacker) {
	const width = 64
	text := strings.Repeat("x", largePayload-1000)
	a.repeat(width, func(i int) {
		a.do(call{path: "/v1/events", token: a.Tokens["publisher"], body: largeEvent(i, text), header: map[string]string{"Prefer": "wait=10"}})
	})
}

// publishStored publishes what has to be stored for all of them, ten megabytes a
// second.
func publishStored(a *attacker) {
	prefer := []string{"", "wait=1", "respond-async"}
	text := strings.Repeat("x", largePayload-1000)
	a.pace(3, 20, func(i int) {
		c := call{path: "/v1/events", token: a.Tokens["publisher"], body: largeEvent(i, text)}
		if wait := prefer[i%len(prefer)]; wait != "" {
			c.header = map[string]string{"Prefer": wait}
		}
		a.do(c)
	})
}

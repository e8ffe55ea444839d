// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// fanOutAttacks are events for many webhooks.
func fanOutAttacks() []attack {
	return []attack{
		{name: "an event for 512 webhooks of which some fail", arrange: declareMany, act: publishToMany, after: (*scene).cheapFanOut, cores: 0.75},
	}
}

// manyPerSecond is how many events a second go to 512 webhooks.
const manyPerSecond = 2

// declareMany declares webhooks of which one in fifty fails.
func declareMany(s *scene) {
	const many, failing, each = 512, 50, 32
	var good *receiver.Receiver
	bad := s.endpoint(0, receiver.Step{Status: 500})
	var hooks []*v1alpha1.Webhook
	for i := range many {
		if i%each == 0 {
			good = s.endpoint(1 + i/each)
		}
		url := good.URL(fmt.Sprint("/", i))
		if i%failing == 0 {
			url = bad.URL(fmt.Sprint("/", i))
		}
		hooks = append(hooks, newProductWebhook(s.namespace, fmt.Sprint("many-", i), url))
	}
	s.try(s.declare(s.ctx, hooks...))
	s.token("publisher", "bbmcp-publisher")
	s.known("publisher", "context.created", createdData)
	s.Cleanup(func() { s.dropWebhooks() })
}

func publishToMany(a *attacker) {
	a.pace(manyPerSecond, inputsAtATime, func(i int) {
		a.do(call{path: "/v1/events", token: a.Tokens["publisher"], body: fmt.Appendf(nil,
			`{"event":"context.created","id":"many_%d","data":%s}`, i, createdData)})
	})
}

func (s *scene) cheapFanOut(found attackReport) {
	const mostGrown = 96 << 20
	s.answersBelow500(found)
	gateway := s.figures.processes[0]
	s.figure("the gateway grew by %d MiB in %d events for 512 webhooks", gateway.grown>>20, found.total())
	if gateway.grown > mostGrown {
		s.Errorf("the gateway grew by %d MiB, at most %d MiB may be", gateway.grown>>20, mostGrown>>20)
	}
}

// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/admission"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// failingAttacks are endpoints that fail or hang.
func failingAttacks() []attack {
	return []attack{
		{name: "fifty webhooks that are down", arrange: declareDown, act: publishToDown, after: (*scene).someAnswers},
		{name: "publishers that wait for endpoints that hang", arrange: declareManyHanging, act: publishAndWait, after: (*scene).someAnswers},
		{name: "slow webhooks at the neighbour's destination", arrange: declareBeside, act: publishBeside, after: (*scene).someAnswers},
	}
}

// slowWrites makes each write of a delivery in the attacker's namespace take longer.
func (s *scene) slowWrites(by time.Duration) {
	s.Helper()
	server := admission.Start()
	s.Cleanup(server.Close)
	server.Answer(admission.Verdict{After: by})
	rule := admission.Rule{Namespace: s.namespace, Resources: []string{"webhookdeliveries/status", "webhookdeliveries"}}
	remove, err := server.Install(s.ctx, s.stack.Client, rule)
	s.try(err)
	s.Cleanup(func() {
		if err := remove(s.background()); err != nil {
			s.Error(err)
		}
	})
}

// publishAll publishes so many events a second, and counts what was skipped.
func (a *attacker) publishAll(perSecond, width int) {
	a.pace(perSecond, width, func(int) {
		status, text := a.do(call{path: "/v1/events", token: a.Tokens["publisher"], body: fmt.Appendf(nil, `{"event":"context.created","data":%s}`, createdData)})
		if status == 202 && strings.Contains(text, `"reason":`) {
			a.note("skipped", text, 0)
		}
	})
}

// declareDown declares webhooks that fail, in a namespace that is slow to write in.
func declareDown(s *scene) {
	const many = 50
	var hooks []*v1alpha1.Webhook
	for i := range many {
		r := s.endpoint(i, receiver.Step{Status: 500})
		hooks = append(hooks, newProductWebhook(s.namespace, fmt.Sprint("down-", i), r.URL("/")))
	}
	s.try(s.declare(s.ctx, hooks...))
	s.token("publisher", "bbmcp-publisher")
	s.Cleanup(s.dropWebhooks)
	s.slowWrites(100 * time.Millisecond)
}

func publishToDown(a *attacker) { a.publishAll(1, 20) }

// declareManyHanging declares more webhooks that hang than a publisher is let wait
// for at a time.
func declareManyHanging(s *scene) {
	many := size(40, 100)
	var hooks []*v1alpha1.Webhook
	for i := range many {
		r := s.endpoint(i, receiver.Step{Fault: receiver.Hang})
		hooks = append(hooks, newProductWebhook(s.namespace, fmt.Sprint("hangs-", i), r.URL("/")))
	}
	s.try(s.declare(s.ctx, hooks...))
	s.token("publisher", "bbmcp-publisher")
	s.Cleanup(s.dropWebhooks)
}

func publishAndWait(a *attacker) {
	const width, repeatAfter = 64, 250 * time.Millisecond
	a.repeat(width, func(int) {
		status, _ := a.do(call{
			path: "/v1/events", token: a.Tokens["publisher"], header: map[string]string{"Prefer": "wait=10"},
			body: fmt.Appendf(nil, `{"event":"context.created","data":%s}`, createdData),
		})
		if status != 202 {
			a.wait(repeatAfter)
		}
	})
}

// declareBeside declares webhooks whose endpoint is slow, at the host and port of the
// neighbour's.
func declareBeside(s *scene) {
	const many = 60
	path := "/" + s.namespace
	s.neighbour.endpoint.Script(path, receiver.Step{Delay: 800 * time.Millisecond})
	var hooks []*v1alpha1.Webhook
	for i := range many {
		hooks = append(hooks, newProductWebhook(s.namespace, fmt.Sprint("beside-", i), s.neighbour.endpoint.URL(path)))
	}
	s.try(s.declare(s.ctx, hooks...))
	s.token("publisher", "bbmcp-publisher")
	s.Cleanup(s.dropWebhooks)
}

func publishBeside(a *attacker) { a.publishAll(2, 8) }

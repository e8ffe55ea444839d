// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/admission"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// admissionAttacks make writes fail.
func admissionAttacks() []attack {
	return []attack{
		{name: "an admission webhook that refuses or hangs", arrange: installAdmission, act: publishRefused, after: (*scene).fewWrites},
	}
}

// verdicts are how an admission webhook can hold up or refuse writes.
var verdicts = []admission.Verdict{
	{After: 20 * time.Second}, {HangUp: true}, {Broken: 500}, admission.Deny(400, "no"), admission.Deny(403, "no"), admission.Deny(404, "no"),
	admission.Deny(409, "no"), admission.Deny(422, "no"), admission.Deny(429, "no"), admission.Deny(503, "no"), {After: 3 * time.Second},
}

// installAdmission makes the API server ask a webhook about all writes in the
// attacker's namespace, which has deliveries that are due.
func installAdmission(s *scene) {
	const waiting = 60
	down := s.endpoint(1, receiver.Step{Status: 500})
	hook := newProductWebhook(s.namespace, "down", down.URL("/"))
	hook.Spec.RetryPolicy = &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{{}, {}, {}, {}, {}, {}, {}, {}, {}, {}}}
	hook.Spec.Suspend = true
	s.try(s.declare(s.ctx, hook))
	for i := range waiting {
		s.try(s.stack.Client.Create(s.ctx, newDelivery(s.namespace, fmt.Sprint("due-", i), hook.Name,
			`{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{}}`)))
	}
	s.token("publisher", "bbmcp-publisher")
	s.token("admin", "bbmcp-admin")
	server := admission.Start()
	s.Cleanup(server.Close)
	rule := admission.Rule{Namespace: s.namespace, Resources: []string{"webhookdeliveries/status", "webhookdeliveries", "webhooks/status", "secrets"}}
	remove, err := server.Install(s.ctx, s.stack.Client, rule)
	s.try(err)
	s.Cleanup(func() {
		if err := remove(s.background()); err != nil {
			s.Error(err)
		}
		s.dropWebhooks()
	})
	server.Decide(func(r admission.Review) admission.Verdict {
		sum := 0
		for _, c := range r.Name { // each object meets the same verdict all the time
			sum += int(c)
		}
		return verdicts[sum%len(verdicts)]
	})
	s.try(s.patch("Webhook", hook.Name, `{"spec":{"suspend":false}}`))
	s.before.writes = s.asked("resource", "webhookdeliveries")
	s.before.at = time.Now()
}

func publishRefused(a *attacker) {
	prefer := []string{"", "respond-async", "wait=5"}
	a.pace(10, 20, func(i int) {
		c := call{path: "/v1/events", token: a.Tokens["publisher"], body: fmt.Appendf(nil, `{"event":"context.created","data":%s}`, createdData)}
		if wait := prefer[i%len(prefer)]; wait != "" {
			c.header = map[string]string{"Prefer": wait}
		}
		a.do(c)
	})
}

// fewWrites bounds what the API server is asked for the attacker's deliveries. The
// neighbour stores some of its events, with a create and a status each.
func (s *scene) fewWrites(found attackReport) {
	const most, ofNeighbour = 60, 2.5 * neighbourRate / storedEach
	each := (s.asked("resource", "webhookdeliveries")-s.before.writes)/time.Since(s.before.at).Seconds() - ofNeighbour
	s.figure("%.0f requests a second about the attacker's deliveries, answers %v", each, found.Answers)
	if each > most {
		s.Errorf("the API server was asked %.0f times a second about the attacker's deliveries, at most %d may be", each, most)
	}
}

// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// choosyAttacks are endpoints that answer but do not take everything.
func choosyAttacks() []attack {
	return []attack{
		{name: "an endpoint that refuses one event in a hundred", arrange: declareChoosy, act: publishToChoosy, after: (*scene).nothingSkipped},
	}
}

// declareChoosy declares a webhook with one attempt, in a namespace that is slow to
// write in.
func declareChoosy(s *scene) {
	var steps []receiver.Step
	for range 50 {
		steps = append(steps, receiver.Step{Status: 422}, receiver.Step{Times: 99})
	}
	r := s.endpoint(1, steps...)
	hook := newProductWebhook(s.namespace, "choosy", r.URL("/"))
	hook.Spec.RetryPolicy = &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{}}
	s.try(s.declare(s.ctx, hook))
	s.token("publisher", "bbmcp-publisher")
	s.Cleanup(s.dropWebhooks)
	s.slowWrites(50 * time.Millisecond)
}

func publishToChoosy(a *attacker) { a.publishAll(100, 64) }

func (s *scene) nothingSkipped(found attackReport) {
	s.someAnswers(found)
	if found.Answers["skipped"] > 0 || found.Answers["202"] < 50 {
		s.Errorf("answers: %v: an endpoint that answers gets all: %s", found.Answers, found.Samples["skipped"])
	}
}

// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

const (
	// skippedWebhooks is how many of the attacker's pass events by all the time.
	skippedWebhooks = 40
	// reportsPerMinute is how often gateway and manager write the reports of what is
	// skipped, at most: every 2 and every 3 s.
	reportsPerMinute = 60/2 + 60/3
	// statusesPerMinute is how often the status of one such webhook is written: what
	// has changed for good, and the counts.
	statusesPerMinute = 4
)

// skippedAttacks are webhooks that cannot take what is published.
func skippedAttacks() []attack {
	return []attack{
		{name: "webhooks that pass events by all the time", arrange: declareSkipped, act: publishToSkipped, meanwhile: (*scene).countWrites, after: (*scene).fewReports},
	}
}

// declareSkipped declares a webhook whose backlog is full, and others whose endpoint
// is gone: they get disabled.
func declareSkipped(s *scene) {
	const full = 500 // as backlogLimits say
	held := newProductWebhook(s.namespace, "held", "http://127.1.0.1:9/")
	held.Spec.Suspend = true
	hooks := []*v1alpha1.Webhook{held}
	gone := s.endpoint(1, receiver.Step{Status: http.StatusGone})
	for i := range skippedWebhooks - 1 {
		hooks = append(hooks, newProductWebhook(s.namespace, fmt.Sprint("gone-", i), gone.URL("/")))
	}
	s.try(s.declare(s.ctx, hooks...))
	s.try(inParallel(8, full, func(i int) error {
		return s.stack.Client.Create(s.ctx, newDelivery(s.namespace, fmt.Sprint("held-", i), held.Name,
			`{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{}}`))
	}))
	s.token("publisher", "bbmcp-publisher")
	s.Cleanup(s.dropWebhooks)
}

func publishToSkipped(a *attacker) { a.publishAll(50, 8) }

// writesOfSkips is how often reports and statuses were written so far.
func (s *scene) writesOfSkips() (reports, statuses float64) {
	return s.asked("resource", "configmaps", "verb", "PATCH"), s.asked("resource", "webhooks", "subresource", "status", "verb", "PUT")
}

func (s *scene) countWrites() {
	s.before.writes, s.before.statuses = s.writesOfSkips()
	s.before.at = time.Now()
}

// fewReports says that webhooks that are skipped thousands of times cost a few writes a
// minute, and that their status counts it.
func (s *scene) fewReports(found attackReport) {
	s.someAnswers(found)
	took := time.Since(s.before.at)
	reports, statuses := s.writesOfSkips()
	reports, statuses = reports-s.before.writes, statuses-s.before.statuses
	minutes := took.Minutes()
	s.figure("%d events passed webhooks by in %s: %.0f writes of reports, %.0f of statuses", found.Answers["skipped"], took.Round(time.Second), reports, statuses)
	const more = 2 // one that is under way at each end
	if most := reportsPerMinute*minutes + more; reports > most {
		s.Errorf("reports of what was skipped were written %.0f times in %s, at most %.0f may be", reports, took, most)
	}
	if most := statusesPerMinute * skippedWebhooks * max(1, minutes); statuses > most {
		s.Errorf("statuses of webhooks were written %.0f times in %s, at most %.0f may be", statuses, took, most)
	}
	if found.Answers["skipped"] == 0 {
		s.Fatal("nothing was skipped: it has proved nothing")
	}
	s.try(s.poll(s.ctx, "skipped deliveries to be counted", func() (bool, error) {
		var hooks v1alpha1.WebhookList
		err := s.stack.Client.List(s.ctx, &hooks, client.InNamespace(s.namespace))
		untold := slices.ContainsFunc(hooks.Items, func(hook v1alpha1.Webhook) bool { return hook.Status.DeliveriesSkipped == 0 })
		return !untold, err
	}))
}

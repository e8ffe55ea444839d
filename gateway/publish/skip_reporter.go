// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/roundrobin"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
)

const (
	// reportInterval is how often a gateway reports skipped deliveries to the manager, if it has any: two small
	// requests, whatever the number of events and webhooks.
	reportInterval = 2 * time.Second
	// maxReportWait bounds the wait after a failed report.
	maxReportWait = time.Minute
)

// +kubebuilder:rbac:groups="",resources=configmaps,resourceNames=bbmcp-skipped,verbs=get;patch,namespace=bbmcp-system

// skipReporter counts skipped deliveries and reports them to the manager, which writes them into the status of
// webhooks. The answer to a publish tells the publisher; the report tells the owner of the webhook.
type skipReporter struct {
	client  client.Client
	object  client.ObjectKey // the ConfigMap; without a namespace nothing is reported
	replica string           // the key of this gateway in it
	panics  *panics.Guard
	logger  *slog.Logger
	now     func() time.Time

	mu         sync.Mutex
	unreported map[skipped.Webhook]skipped.Count
	sequence   int64
	// pending are counts whose write ended without an answer, as version sequence.
	pending map[skipped.Webhook]skipped.Count
}

// count counts one delivery that a webhook did not get.
func (s *skipReporter) count(webhook webhookKey, reason string) {
	count := skipped.Count{Last: s.now().UTC().Truncate(time.Second)}
	switch reason {
	case rest.SkippedBacklogFull:
		count.Full = 1
	case rest.SkippedDisabled:
		count.Disabled = 1
	default:
		return
	}
	if s.object.Namespace == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := skipped.Webhook{Namespace: webhook.namespace, Name: webhook.name, UID: webhook.uid}
	s.unreported[key] = s.unreported[key].Plus(count)
}

// run reports until ctx ends, and then once more.
func (s *skipReporter) run(ctx context.Context) {
	if s.object.Namespace == "" {
		return
	}
	for wait := reportInterval; sleepContext(ctx, wait); {
		var err error
		if panicked := s.panics.Do(panics.Background, func() { err = s.report(ctx) }); panicked != nil {
			err = panicked
		}
		if err == nil {
			wait = reportInterval
			continue
		}
		if wait == reportInterval {
			s.logger.Warn("the manager cannot be told what was skipped; trying again", slog.String("cause", err.Error()))
		}
		wait = min(2*wait, maxReportWait)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiTimeout)
	defer cancel()
	_ = s.panics.Do(panics.Background, func() { _ = s.report(last) }) // the process ends: no further try
}

// report adds the unreported counts to this gateway's report. Other gateways have their own part of the object, so a
// conflict is rare.
func (s *skipReporter) report(ctx context.Context) error {
	if !s.hasUnreported() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var object corev1.ConfigMap
	if err := s.client.Get(ctx, s.object, &object); err != nil {
		return fmt.Errorf("get ConfigMap %s: %w", s.object, err)
	}
	known, err := skipped.Decode(object.Data[s.replica])
	if err != nil { // no report yet
		known = skipped.Report{Counts: map[skipped.Webhook]skipped.Count{}}
	}
	s.confirm(known)
	next := s.nextReport(known)
	if len(next.Counts) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": object.ResourceVersion},
		"data":     map[string]any{s.replica: skipped.Encode(next)},
	})
	if err != nil {
		return err
	}
	written := &corev1.ConfigMap{}
	written.Namespace, written.Name = s.object.Namespace, s.object.Name
	if err := s.client.Patch(ctx, written, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("patch ConfigMap %s: %w", s.object, err)
	}
	s.confirm(next)
	return nil
}

func (s *skipReporter) hasUnreported() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.unreported) > 0
}

// confirm removes the pending counts from the unreported ones, if the report in the object contains them.
func (s *skipReporter) confirm(known skipped.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known.Sequence >= s.sequence {
		for webhook, reported := range s.pending {
			left := s.unreported[webhook]
			left.Full -= reported.Full
			left.Disabled -= reported.Disabled
			if s.unreported[webhook] = left; left.Full <= 0 && left.Disabled <= 0 {
				delete(s.unreported, webhook)
			}
		}
	}
	s.pending = nil
}

// nextReport is the report with as many of the unreported counts as fit. Namespaces take turns: one with thousands of
// webhooks delays no other.
func (s *skipReporter) nextReport(known skipped.Report) skipped.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sequence = max(s.sequence, known.Sequence, s.now().UnixMilli()) + 1
	next := skipped.Report{Sequence: s.sequence, Begun: known.Begun, Counts: known.Counts}
	if len(known.Counts) == 0 {
		next.Begun = s.sequence
	}
	s.pending = map[skipped.Webhook]skipped.Count{}
	waiting := map[string][]skipped.Webhook{}
	for webhook := range s.unreported {
		waiting[webhook.Namespace] = append(waiting[webhook.Namespace], webhook)
	}
	for _, webhook := range roundrobin.Interleave(waiting, skipped.MaxWebhooks) {
		if _, has := next.Counts[webhook]; !has && len(next.Counts) >= skipped.MaxWebhooks {
			continue
		}
		count := s.unreported[webhook]
		next.Counts[webhook] = next.Counts[webhook].Plus(count)
		s.pending[webhook] = count
	}
	if len(s.pending) == 0 {
		next.Counts = nil // the manager has not taken the last report yet, and this one has no room
	}
	return next
}

// forgetWebhook drops the counts of a deleted webhook.
func (s *skipReporter) forgetWebhook(webhook *v1alpha1.Webhook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := skipped.Webhook{Namespace: webhook.Namespace, Name: webhook.Name, UID: webhook.UID}
	delete(s.unreported, key)
	delete(s.pending, key)
}

// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
)

const (
	// skippedInterval is how often reports of the gateways are collected.
	skippedInterval = 3 * time.Second
	// takenRetention is how long the ConfigMap shows a gateway that its report was taken;
	// then its key is removed: the gateway is gone.
	takenRetention = time.Hour
)

// +kubebuilder:rbac:groups="",resources=configmaps,resourceNames=bbmcp-skipped,verbs=get;patch,namespace=bbmcp-system

// SkippedCollector counts the deliveries that gateways report as skipped. It alone
// removes reports, so it runs on the leader.
type SkippedCollector struct {
	// Client writes the ConfigMap and reads Webhooks from the cache; Live reads it.
	Client       client.Client
	Live         client.Reader
	Observations *Observations
	Metrics      *Metrics
	Panics       *panics.Guard
	Now          func() time.Time
	// Object is the ConfigMap; without a namespace there is nothing to collect.
	Object types.NamespacedName

	// unconfirmed are the reports of a write that ended without an answer, by gateway.
	unconfirmed map[string]skipped.Report
}

// Start implements manager.Runnable.
func (c *SkippedCollector) Start(ctx context.Context) error {
	if c.Object.Namespace == "" {
		return nil
	}
	tick := time.NewTicker(skippedInterval)
	defer tick.Stop()
	lastError := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var err error
		if panicked := c.Panics.Do(panics.Background, func() { err = c.collect(ctx) }); panicked != nil {
			err = panicked
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != lastError && text != "" && !denial.IsConflict(err) {
			ctrl.LoggerFrom(ctx).Error(err, "collect reports of skipped deliveries; trying again")
		}
		lastError = text
	}
}

// collect takes all reports in the ConfigMap.
func (c *SkippedCollector) collect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var object corev1.ConfigMap
	if err := c.Live.Get(ctx, c.Object, &object); err != nil {
		return fmt.Errorf("get ConfigMap %s: %w", c.Object, err)
	}
	reports := c.read(ctx, &object)
	c.confirm(ctx, reports)
	changes, taken := c.planChanges(object.Data, reports)
	if len(changes) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": object.ResourceVersion}, "data": changes,
	})
	if err != nil {
		return err
	}
	written := &corev1.ConfigMap{}
	written.Namespace, written.Name = c.Object.Namespace, c.Object.Name
	err = c.Client.Patch(ctx, written, client.RawPatch(types.MergePatchType, patch))
	switch {
	case err == nil:
		c.count(ctx, taken)
		return nil
	case !isWriteRefusal(err):
		c.unconfirmed = taken
	}
	return fmt.Errorf("patch ConfigMap %s: %w", c.Object, err)
}

// read decodes the reports; undecodable values are left out.
func (c *SkippedCollector) read(ctx context.Context, object *corev1.ConfigMap) map[string]skipped.Report {
	reports := make(map[string]skipped.Report, len(object.Data))
	for gateway, value := range object.Data {
		report, err := skipped.Decode(value)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "a gateway's report of skipped deliveries cannot be decoded and is dropped", "gateway", gateway)
			continue
		}
		reports[gateway] = report
	}
	return reports
}

// confirm counts the reports of a write that was applied though its answer was lost.
func (c *SkippedCollector) confirm(ctx context.Context, reports map[string]skipped.Report) {
	maps.DeleteFunc(c.unconfirmed, func(gateway string, tried skipped.Report) bool {
		now, known := reports[gateway]
		return known && now.Taken.IsZero() && now.Begun == tried.Begun // it was not written
	})
	c.count(ctx, c.unconfirmed)
	c.unconfirmed = nil
}

// planChanges returns the changes of the ConfigMap, as JSON merge patch, and the reports
// that they take.
func (c *SkippedCollector) planChanges(data map[string]string, reports map[string]skipped.Report) (changes map[string]any, taken map[string]skipped.Report) {
	changes, taken = map[string]any{}, map[string]skipped.Report{}
	now := c.Now().UTC().Truncate(time.Second)
	for gateway := range data {
		report, ok := reports[gateway]
		switch {
		case !ok, !report.Taken.IsZero() && now.Sub(report.Taken) > takenRetention:
			changes[gateway] = nil
		case report.Taken.IsZero():
			changes[gateway] = skipped.Encode(skipped.Report{Sequence: report.Sequence, Taken: now})
			taken[gateway] = report
		}
	}
	return changes, taken
}

// count adds taken reports to the observations of the webhooks that still exist.
func (c *SkippedCollector) count(ctx context.Context, taken map[string]skipped.Report) {
	for _, report := range taken {
		for ref, count := range report.Counts {
			var webhook v1alpha1.Webhook
			err := c.Client.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &webhook)
			if err != nil || webhook.UID != ref.UID {
				continue
			}
			count.Last = notAfter(count.Last, c.Now())
			c.Observations.CountSkipped(&webhook, count)
			c.Metrics.deliveriesSkipped(&webhook, count)
		}
	}
}

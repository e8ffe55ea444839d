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
	// skippedInterval is how often it is looked at what the gateways have to tell.
	skippedInterval = 3 * time.Second
	// takenFor is how long a gateway finds in the object that its report was taken; then
	// its key is removed, as that of a gateway that is gone.
	takenFor = time.Hour
)

// +kubebuilder:rbac:groups="",resources=configmaps,resourceNames=bbmcp-skipped,verbs=get;patch,namespace=bbmcp-system

// SkippedCollector takes in what gateways tell of deliveries that they did not make.
// It is the only one who takes reports out, so it runs on the leader.
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

	// tried are the reports of a write that ended without an answer, by gateway.
	tried map[string]skipped.Report
}

// Start implements manager.Runnable.
func (c *SkippedCollector) Start(ctx context.Context) error {
	if c.Object.Namespace == "" {
		return nil
	}
	tick := time.NewTicker(skippedInterval)
	defer tick.Stop()
	said := ""
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
		if text != said && text != "" && !denial.IsConflict(err) {
			ctrl.LoggerFrom(ctx).Error(err, "collect what the gateways skipped; trying again")
		}
		said = text
	}
}

// collect takes all reports that there are.
func (c *SkippedCollector) collect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var object corev1.ConfigMap
	if err := c.Live.Get(ctx, c.Object, &object); err != nil {
		return fmt.Errorf("get ConfigMap %s: %w", c.Object, err)
	}
	reports := c.read(ctx, &object)
	c.believe(ctx, reports)
	changes, taken := c.take(object.Data, reports)
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
	case !isRefusal(err):
		c.tried = taken
	}
	return fmt.Errorf("patch ConfigMap %s: %w", c.Object, err)
}

// read decodes the reports. What is none is not among them.
func (c *SkippedCollector) read(ctx context.Context, object *corev1.ConfigMap) map[string]skipped.Report {
	reports := make(map[string]skipped.Report, len(object.Data))
	for gateway, value := range object.Data {
		report, err := skipped.Decode(value)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "what a gateway skipped cannot be read and is dropped", "gateway", gateway)
			continue
		}
		reports[gateway] = report
	}
	return reports
}

// believe counts what was taken by a write whose answer was lost.
func (c *SkippedCollector) believe(ctx context.Context, reports map[string]skipped.Report) {
	maps.DeleteFunc(c.tried, func(gateway string, tried skipped.Report) bool {
		now, known := reports[gateway]
		return known && now.Taken.IsZero() && now.Begun == tried.Begun // it was not written
	})
	c.count(ctx, c.tried)
	c.tried = nil
}

// take says how the object changes, as JSON merge patch, and what is taken by that.
func (c *SkippedCollector) take(data map[string]string, reports map[string]skipped.Report) (changes map[string]any, taken map[string]skipped.Report) {
	changes, taken = map[string]any{}, map[string]skipped.Report{}
	now := c.Now().UTC().Truncate(time.Second)
	for gateway := range data {
		report, ok := reports[gateway]
		switch {
		case !ok, !report.Taken.IsZero() && now.Sub(report.Taken) > takenFor:
			changes[gateway] = nil
		case report.Taken.IsZero():
			changes[gateway] = skipped.Encode(skipped.Report{Sequence: report.Sequence, Taken: now})
			taken[gateway] = report
		}
	}
	return changes, taken
}

// count makes what was taken known to the webhooks that are still there.
func (c *SkippedCollector) count(ctx context.Context, taken map[string]skipped.Report) {
	for _, report := range taken {
		for of, count := range report.Counts {
			var webhook v1alpha1.Webhook
			err := c.Client.Get(ctx, types.NamespacedName{Namespace: of.Namespace, Name: of.Name}, &webhook)
			if err != nil || webhook.UID != of.UID {
				continue
			}
			count.Last = notAfter(count.Last, c.Now())
			c.Observations.Skipped(&webhook, count)
			c.Metrics.deliveriesSkipped(&webhook, count)
		}
	}
}

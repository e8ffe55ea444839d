// SPDX-License-Identifier: Apache-2.0

package settings_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/retry"
	"bbmcp.quietstack.com/webhooks/internal/settings"
)

// effective are all settings of a Webhook.
type effective struct {
	Policy                     retry.Policy
	Timeout, Deadline, Overlap time.Duration
	Record                     v1alpha1.RecordPolicy
}

func TestSettings(t *testing.T) {
	defaults := effective{retry.DefaultPolicy(), 10 * time.Second, 72 * time.Hour, 24 * time.Hour, v1alpha1.RecordBudgeted}
	for name, tt := range map[string]struct {
		spec v1alpha1.WebhookSpec
		want effective
	}{
		"an empty spec has the defaults": {v1alpha1.WebhookSpec{}, defaults},
		"empty groups have the defaults": {
			v1alpha1.WebhookSpec{RetryPolicy: &v1alpha1.RetryPolicy{}, Signing: &v1alpha1.Signing{}, Retention: &v1alpha1.Retention{}}, defaults,
		},
		"each value that is set counts": {
			v1alpha1.WebhookSpec{
				RetryPolicy: &v1alpha1.RetryPolicy{
					Delays: &[]metav1.Duration{{Duration: time.Second}}, Timeout: &metav1.Duration{Duration: time.Minute}, JitterPercent: new(int32(7)),
				},
				DeliveryDeadline: &metav1.Duration{Duration: time.Hour},
				Signing:          &v1alpha1.Signing{Overlap: &metav1.Duration{}},
				Retention:        &v1alpha1.Retention{Record: v1alpha1.RecordNever},
			},
			effective{
				retry.Policy{Delays: []time.Duration{time.Second}, Timeout: time.Minute, JitterPercent: 7},
				time.Minute, time.Hour, 0, v1alpha1.RecordNever,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &v1alpha1.Webhook{Spec: tt.spec}
			got := effective{settings.RetryPolicy(w), settings.Timeout(w), settings.Deadline(w), settings.Overlap(w), settings.RecordPolicy(w)}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if diff := cmp.Diff(defaults.Policy, settings.RetryPolicy(nil)); diff != "" || settings.Deadline(nil) != defaults.Deadline {
		t.Errorf("no Webhook: %s, deadline %s", diff, settings.Deadline(nil))
	}
}

func TestDefaultsAreThoseOfTheCRD(t *testing.T) {
	crd, err := os.ReadFile("../../config/crd/bases/bbmcp.quietstack.com_webhooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"default: 72h", "default: 24h", "default: 10s", "default: Budgeted"} {
		if !strings.Contains(string(crd), line) {
			t.Errorf("the CRD of Webhooks has no %q", line)
		}
	}
}

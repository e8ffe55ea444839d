// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// The expiry of an endpoint's certificate is known from the last attempt over
// TLS, and forgotten with the webhook.
func TestCertificateExpiryFollowsAttempts(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	webhook := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "orders"}}
	delivery := &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "dlv-1"}}
	expiry := time.Unix(1_700_000_000, 0)
	m.attempt(delivery, webhook, dispatcher.Result{StatusCode: 200, CertificateNotAfter: expiry})
	m.attempt(delivery, webhook, dispatcher.Result{Reason: dispatcher.ReasonTimeout})
	if got := testutil.ToFloat64(m.certificates.WithLabelValues("team-a", "orders")); got != 1_700_000_000 {
		t.Errorf("expiry %f", got)
	}
	m.attempt(delivery, nil, dispatcher.Result{CertificateNotAfter: expiry})
	if got := testutil.CollectAndCount(m.certificates); got != 1 {
		t.Errorf("%d series, want that of the webhook alone", got)
	}
	m.forgetWebhook(types.NamespacedName{Namespace: "team-a", Name: "orders"})
	if got := testutil.CollectAndCount(m.certificates); got != 0 {
		t.Errorf("%d series of webhooks that are gone", got)
	}
}

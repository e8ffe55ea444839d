// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// version is someDelivery at a resource version, with as many attempts.
func version(resourceVersion string, attempts int32) *v1alpha1.WebhookDelivery {
	return someDelivery(func(d *v1alpha1.WebhookDelivery) { d.ResourceVersion, d.Status.Attempts = resourceVersion, attempts })
}

func TestNewest(t *testing.T) {
	tests := []struct {
		name     string
		ours     *v1alpha1.WebhookDelivery // nil: nothing was written
		cached   *v1alpha1.WebhookDelivery
		want     *v1alpha1.WebhookDelivery
		caughtUp bool
	}{
		{"nothing was written", nil, version("7", 0), version("7", 0), true},
		{"the cache is behind", version("10", 1), version("9", 0), version("10", 1), false},
		{"numbers, not text", version("100", 1), version("99", 0), version("100", 1), false},
		{"the cache shows what we wrote", version("10", 1), version("10", 1), version("10", 1), true},
		{"somebody has written since", version("10", 1), version("11", 1), version("11", 1), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newPendingWrites()
			if tt.ours != nil {
				m.keepWritten(tt.ours)
			}
			got, caughtUp := m.newest(tt.cached)
			same(t, got, tt.want)
			same(t, caughtUp, tt.caughtUp)
			same(t, len(m.written) == 0, tt.caughtUp) // it is remembered no longer than needed
			got.Status.Attempts = 99                  // what is handed out may be changed
			again, _ := m.newest(tt.cached.DeepCopy())
			if !tt.caughtUp {
				same(t, again, tt.want)
			}
		})
	}
}

func TestIsEcho(t *testing.T) {
	tests := []struct {
		name, ours, event string
		want, left        bool
	}{
		{"nothing was written", "", "7", false, false},
		{"our own write", "10", "10", true, false},
		{"older than our own write", "10", "9", true, true},
		{"somebody else's write after ours", "10", "11", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newPendingWrites()
			if tt.ours != "" {
				m.keepWritten(version(tt.ours, 1))
			}
			same(t, m.isEcho("delivery-1", tt.event), tt.want)
			same(t, len(m.written) == 1, tt.left)
		})
	}
}

// TestDoubt: a write without an answer is in doubt until it is known what became
// of it.
func TestUnconfirmedWrite(t *testing.T) {
	before, key := version("9", 0), client.ObjectKeyFromObject(someDelivery())
	anew := someDelivery(func(d *v1alpha1.WebhookDelivery) { d.UID = "delivery-2" })
	tests := []struct {
		name string
		then func(*pendingWrites) any
		want any
		left bool
	}{
		{"the delivery as it was is kept", func(m *pendingWrites) any { return m.unconfirmedBefore(version("10", 1)) }, before, true},
		{"also if it is tried again", func(m *pendingWrites) any { m.markUnconfirmed(version("10", 1)); return m.unconfirmedBefore(before) }, before, true},
		{"it is not that of another with its name", func(m *pendingWrites) any { return m.unconfirmedBefore(anew) }, (*v1alpha1.WebhookDelivery)(nil), true},
		{"another with its name does not end it", func(m *pendingWrites) any { m.confirm(anew); return m.hasUnconfirmed(key) }, true, true},
		{"an answer ends it", func(m *pendingWrites) any { m.confirm(version("10", 1)); return m.hasUnconfirmed(key) }, false, false},
		{"it is still there", func(m *pendingWrites) any { return m.confirmGone(key, version("10", 1)) }, types.UID(""), true},
		{"it has gone", func(m *pendingWrites) any { return m.confirmGone(key, nil) }, before.UID, false},
		{"it has gone and another has come", func(m *pendingWrites) any { return m.confirmGone(key, anew) }, before.UID, false},
		{"it is forgotten", func(m *pendingWrites) any { m.drop(before.UID); return m.hasUnconfirmed(key) }, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newPendingWrites()
			m.markUnconfirmed(before)
			same(t, tt.then(m), tt.want)
			same(t, len(m.unconfirmed) == 1, tt.left)
		})
	}
}

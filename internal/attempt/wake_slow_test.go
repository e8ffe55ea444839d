// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestOutcomesOfSlowWebhooksCallWakeSlow(t *testing.T) {
	slow := make(chan types.NamespacedName, 10)
	options := Options{WakeSlow: func(name types.NamespacedName) { slow <- name }}
	withRunner(t, options, func(f *runnerFixture) {
		f.answer("ns/bad", hangs())
		f.submit("ns/good/a", "ns/bad/b", "ns/good/c")
		f.wait(20 * time.Second)
		expectList(t, "calls of Wake", f.calls(), []types.NamespacedName{
			{Namespace: "ns", Name: "ns/good/a"}, {Namespace: "ns", Name: "ns/good/c"},
		})
		expect(t, "calls of WakeSlow", len(slow), 1)
		expect(t, "call of WakeSlow", <-slow, types.NamespacedName{Namespace: "ns", Name: "ns/bad/b"})
		f.writeAll()
	})
}

// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"testing"
	"time"
)

// Twenty webhooks hang, with more than ten times as many deliveries behind them
// as there are slots. If they could fill the slots, a delivery to a healthy
// webhook would wait for a timeout of 10 s at least, and for two minutes if jobs
// were started in the order they came. Shares make it go out at once; the bound
// leaves room for a machine that is busy with other tests.
func TestHangingEndpointsDoNotHoldUpHealthyOnes(t *testing.T) {
	const (
		slots   = 32
		pending = 400
		bound   = 3 * time.Second
	)
	w, err := Start(t.Context(), Options{
		Healthy: 2, Hanging: 20, Pending: pending,
		ManagerArgs: []string{"--unsettled=32"},
		Progress:    func(text string) { t.Log(text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	times, err := w.Paced(t.Context(), 150, 100*time.Millisecond) // longer than a timeout
	if err != nil {
		t.Fatal(err)
	}
	left, err := w.Pending(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	posted := times.Posted
	t.Logf("from creation to POST: p50 %s, p99 %s, longest %s; %d deliveries pending beside them, %d slots",
		Percentile(posted, 50), Percentile(posted, 99), posted[len(posted)-1], left, slots)
	if left <= 10*slots {
		t.Errorf("only %d deliveries were pending, which proves nothing with %d slots", left, slots)
	}
	if longest := posted[len(posted)-1]; longest > bound {
		t.Errorf("a delivery to a healthy webhook took %s, more than %s", longest, bound)
	}
}

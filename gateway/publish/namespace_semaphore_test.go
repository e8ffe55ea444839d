// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestLargeRequestsOfANamespaceGoOneAfterTheOther(t *testing.T) {
	const size, large, took = 4 * bytesPerWrite, 3 * bytesPerWrite, 100 * time.Millisecond
	for name, c := range map[string]struct {
		second    int
		namespace string
		waits     time.Duration
	}{
		"a second large payload waits, and holds its bytes as long": {large, "team", 2 * took},
		"a small payload does not wait for a large one":             {bytesPerWrite, "team", 0},
		"a payload larger than the semaphore waits for all of it":   {10 * size, "team", 2 * took},
		"a large payload of another namespace does not wait":        {large, "other", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := NewNamespaceSemaphore(size, time.Now)
				release, err := n.Acquire(t.Context(), "team", large)
				if err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(took, release)
				began := time.Now()
				release, err = n.Acquire(t.Context(), c.namespace, c.second)
				if waited := time.Since(began); err != nil || waited != c.waits {
					t.Errorf("waited %s, %v, want %s", waited, err, c.waits)
				}
				release()
				time.Sleep(2 * maxThrottleWait)
				synctest.Wait()
				if len(n.namespaces) != 0 {
					t.Errorf("%d namespaces are left", len(n.namespaces))
				}
			})
		})
	}
}

func TestCanceledAcquireLeavesNoState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNamespaceSemaphore(bytesPerWrite, time.Now)
		release, err := n.Acquire(t.Context(), "team", bytesPerWrite)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Acquire(ctx, "team", 1); err == nil {
			t.Error("more bytes than there are")
		}
		release()
		if len(n.namespaces) != 0 {
			t.Errorf("%d namespaces are left", len(n.namespaces))
		}
	})
}

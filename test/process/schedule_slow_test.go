// SPDX-License-Identifier: Apache-2.0

//go:build slow

package process_test

import (
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

var _ = Describe("the retry policy in real time", func() {
	It("starts attempts at 0, 5, 20, 65 and 185 s", SpecTimeout(5*time.Minute), func(ctx SpecContext) {
		var mu sync.Mutex
		var starts []time.Time
		t := newTenant(ctx, receiver.Options{OnReceived: func(one receiver.Received) {
			mu.Lock()
			defer mu.Unlock()
			starts = append(starts, one.At)
		}})
		startLeader(ctx, supervised())
		hook := t.declare(ctx, "down")
		t.endpoint.Script("", receiver.Step{Status: 500})
		t.ready(ctx, hook)
		begin := time.Now()
		t.publish(ctx, 1, hook)
		t.waitNone(ctx, "status.state!=Failed", 4*time.Minute)

		mu.Lock()
		defer mu.Unlock()
		want := []time.Duration{0, 5 * time.Second, 20 * time.Second, 65 * time.Second, 185 * time.Second}
		Expect(starts).To(HaveLen(len(want)))
		var late []time.Duration
		for i, at := range starts {
			late = append(late, at.Sub(begin)-want[i])
			Expect(late[i]).To(And(BeNumerically(">=", 0), BeNumerically("<", 500*time.Millisecond)), "attempt %d", i+1)
		}
		measured("attempts began after their time by %v", late)
		t.expectVerified()
	})
})

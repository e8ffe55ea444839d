// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

var _ = Describe("a caller without rights that sends 60 batches of 8 MiB at a time", func() {
	It("takes a bounded part of a gateway's memory, and delays nobody", SpecTimeout(3*time.Minute), func(ctx SpecContext) {
		const connections, size, mebi, limit = 60, 8<<20 - 1000, 1 << 20, 460
		t := newTenant(ctx, receiver.Options{})
		startLeader(ctx, supervised())
		t.ready(ctx, t.declare(ctx, "hook"))
		e := newEmitterOf(ctx, t, stack.GatewayOptions{
			Supervise: true, Args: []string{"--allow-unregistered-event-types"}, Env: []string{fmt.Sprintf("GOMEMLIMIT=%dMiB", limit)},
		})
		e.warm(ctx)
		nobody := cluster.NewAccount(ctx, t.namespace, "nobody")
		items := make([]string, 100)
		for i := range items {
			items[i] = fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/s","type":"order.created","data":{"pad":%q}}`, i, strings.Repeat("x", size/100-100))
		}
		batch := "[" + strings.Join(items, ",") + "]"

		attack, stop := context.WithTimeout(ctx, 15*time.Second)
		defer stop()
		statuses := map[int]int{}
		var mu sync.Mutex
		var senders sync.WaitGroup
		for range connections {
			senders.Go(func() {
				through := &http.Client{Transport: &http.Transport{}}
				for attack.Err() == nil {
					status := sendBatch(attack, through, e.url, nobody, batch)
					mu.Lock()
					statuses[status]++
					mu.Unlock()
				}
			})
		}
		most, slowest := 0.0, time.Duration(0)
		for n := 0; attack.Err() == nil; n++ {
			samples, err := stack.Scrape(ctx, e.front.MetricsURL)
			Expect(err).NotTo(HaveOccurred())
			most = max(most, samples.Sum("go_memstats_heap_inuse_bytes"))
			began := time.Now()
			status, answer := e.post(ctx, fmt.Sprintf("beside-%d", n), "wait=5")
			slowest = max(slowest, time.Since(began))
			Expect(status).To(Equal(http.StatusAccepted), answer)
			pass(ctx, suite.PollEvery)
		}
		senders.Wait()
		measured("most heap %.0f MiB of %d; answers %v; the slowest publish beside it took %s", most/mebi, limit, statuses, slowest.Round(time.Millisecond))
		Expect(most / mebi).To(BeNumerically("<", limit*3/4))
	})
})

func sendBatch(ctx context.Context, through *http.Client, url, token, batch string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/events", strings.NewReader(batch))
	if err != nil {
		return 0
	}
	request.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/cloudevents-batch+json"}}
	response, err := through.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// SPDX-License-Identifier: Apache-2.0

//go:build chromium

package dashboard

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// What is promised of a page under load.
const (
	changesPerSecond = 50
	slowestPage      = 200 * time.Millisecond
	heaviestPage     = 150 << 10
	openPages        = 10
)

// size reads how large a measurement is; CI makes a small one.
func size(name string, small int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return small
}

// load is a namespace with many webhooks and deliveries that change.
type load struct {
	namespace  string
	webhooks   []string // names
	deliveries []string
}

// seed writes the objects as they are when they have been delivered.
func (l *load) seed(ctx context.Context, webhooks, deliveries int) {
	GinkgoHelper()
	for i := range webhooks {
		name := fmt.Sprintf("webhook-%03d", i)
		l.webhooks = append(l.webhooks, name)
		Expect(cluster.Client.Create(ctx, &v1alpha1.Webhook{
			ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: name},
			Spec:       v1alpha1.WebhookSpec{URL: "https://" + name + ".example.com/hooks/bbmcp", Events: []string{"context.*"}, Suspend: true},
		})).To(Succeed())
	}
	jobs := make(chan int)
	failed := make(chan error, deliveries)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for i := range jobs {
				failed <- l.deliver(ctx, i)
			}
		})
	}
	for i := range deliveries {
		l.deliveries = append(l.deliveries, fmt.Sprintf("delivery-%05d", i))
	}
	for i := range deliveries {
		jobs <- i
	}
	close(jobs)
	workers.Wait()
	close(failed)
	for err := range failed {
		Expect(err).NotTo(HaveOccurred())
	}
}

func (l *load) deliver(ctx context.Context, i int) error {
	now := metav1.NowMicro()
	delivery := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: l.deliveries[i]},
		Spec: v1alpha1.WebhookDeliverySpec{
			WebhookRef: v1alpha1.WebhookReference{Name: l.webhooks[i%len(l.webhooks)]}, EventID: fmt.Sprintf("evt_%05d", i), EventType: "context.created",
			Payload: `{"event":"context.created","timestamp":"2026-01-01T00:00:00Z","data":{"context_id":"ctx_1"}}`,
		},
	}
	if err := cluster.Client.Create(ctx, delivery); err != nil {
		return err
	}
	before, _ := delivery.DeepCopyObject().(client.Object)
	delivery.Status = v1alpha1.WebhookDeliveryStatus{
		State: v1alpha1.DeliverySucceeded, Attempts: 1, ResponseStatus: new(int32(200)), CompletionTime: &now, LastAttemptTime: &now,
		AttemptLog: []v1alpha1.Attempt{{Number: 1, StartTime: now, DurationMilliseconds: int64(20 + i%400), ResponseStatus: new(int32(200))}},
	}
	if i%20 == 0 {
		delivery.Status.State, delivery.Status.ErrorMessage = v1alpha1.DeliveryFailed, "the endpoint answered 500"
		delivery.Status.AttemptLog[0].Reason = "HTTPStatus"
	}
	return cluster.Client.Status().Patch(ctx, delivery, client.MergeFrom(before))
}

// change patches deliveries until ctx ends, so many a second.
func (l *load) change(ctx context.Context) (changed int) {
	tick := time.NewTicker(time.Second / changesPerSecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return changed
		case <-tick.C:
		}
		delivery := &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: l.deliveries[i*7%len(l.deliveries)]}}
		patch := fmt.Appendf(nil, `{"status":{"responseStatus":%d}}`, 200+i%5)
		if cluster.Client.Status().Patch(ctx, delivery, client.RawPatch(types.MergePatchType, patch)) == nil {
			changed++
		}
	}
}

// cost is what loading a page took and brought.
type cost struct {
	answer, loaded time.Duration
	bytes          int64
}

// open loads a page in a fresh profile, with nothing kept from before.
func open(token, path string) cost {
	GinkgoHelper()
	t := newTab(looks[0])
	var c cost
	command(t, network.Enable, network.EnableParams{})
	command(t, network.SetCookie, network.SetCookieParams{Name: "bbmcp-token", Value: token, URL: gateway.URL + "/dashboard/", Path: "/dashboard", HTTPOnly: new(true)})
	Expect(chromedp.Listen(t.ctx, func(event any) {
		if done, is := event.(*network.EventLoadingFinished); is {
			t.mu.Lock()
			defer t.mu.Unlock()
			c.bytes += int64(done.EncodedDataLength)
		}
	})).To(Succeed())
	t.visit(path)
	timing := ask[map[string]float64](t, `(() => { const n = performance.getEntriesByType("navigation")[0]; return {answer: n.responseEnd - n.requestStart, loaded: n.domContentLoadedEventEnd}; })()`)
	t.mu.Lock()
	defer t.mu.Unlock()
	c.answer = time.Duration(timing["answer"] * float64(time.Millisecond))
	c.loaded = time.Duration(timing["loaded"] * float64(time.Millisecond))
	return c
}

// heap is what the gateway has in use, in bytes.
func heap(ctx context.Context) float64 {
	GinkgoHelper()
	samples, err := stack.Scrape(ctx, gateway.MetricsURL)
	Expect(err).NotTo(HaveOccurred())
	return samples.Sum("process_resident_memory_bytes")
}

var _ = Describe("under load", Serial, func() {
	It("pages come at once, weigh little, and stay open without growing", func(ctx SpecContext) {
		if os.Getenv("LIVE") == "" {
			Skip("a measurement: LIVE=5m, on a machine that does nothing else")
		}
		l := &load{namespace: newNamespace(ctx, "load")}
		live := 20 * time.Second
		if d, err := time.ParseDuration(os.Getenv("LIVE")); err == nil {
			live = d
		}
		l.seed(ctx, size("WEBHOOKS", 200), size("DELIVERIES", 2000))
		token := tokenFor(ctx, l.namespace, everything...)
		changing, stop := context.WithCancel(ctx)
		changed := make(chan int, 1)
		go func() { changed <- l.change(changing) }()
		base := "/dashboard/ns/" + l.namespace
		webhook := base + "/webhooks/" + identity.WebhookID(l.namespace, l.webhooks[0])
		for _, path := range []string{base + "/", base + "/webhooks", webhook} {
			var costs []cost
			for range 5 {
				costs = append(costs, open(token, path))
			}
			slices.SortFunc(costs, func(a, b cost) int { return int(a.loaded - b.loaded) })
			middle := costs[2]
			fmt.Fprintf(GinkgoWriter, "MEASURED %-40s answer %s, loaded %s (slowest %s), %d bytes\n", path, middle.answer, middle.loaded, costs[4].loaded, middle.bytes)
			Expect(middle.loaded).To(BeNumerically("<", slowestPage), path)
			Expect(middle.bytes).To(BeNumerically("<", heaviestPage), path)
		}

		for i := range openPages {
			t := newTab(looks[0])
			command(t, network.SetCookie, network.SetCookieParams{Name: "bbmcp-token", Value: token, URL: gateway.URL + "/dashboard/", Path: "/dashboard", HTTPOnly: new(true)})
			t.visit([]string{base + "/", base + "/webhooks", webhook}[i%3])
		}
		var samples []float64
		tick := time.NewTicker(live / 40)
		defer tick.Stop()
		for range 40 {
			<-tick.C
			samples = append(samples, heap(ctx))
		}
		stop()
		rate := float64(<-changed) / live.Seconds()
		early, late := mean(samples[10:20]), mean(samples[30:])
		fmt.Fprintf(GinkgoWriter, "MEASURED %d live pages for %s at about %.0f changes a second: resident %.1f MiB in the second quarter, %.1f MiB in the last\n",
			openPages, live, rate, early/(1<<20), late/(1<<20))
		Expect(late).To(BeNumerically("<", early*1.1+4<<20), "the gateway grows: %v", samples)
	}, SpecTimeout(15*time.Minute))
})

func mean(values []float64) (sum float64) {
	for _, value := range values {
		sum += value
	}
	return sum / float64(len(values))
}

// SPDX-License-Identifier: Apache-2.0

//go:build chromium

package dashboard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
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
	slowestPage      = 200 * time.Millisecond // from the request to the end of the answer
	heaviestPage     = 150 << 10
	openPages        = 10
	settles          = time.Minute
	fetched          = 200 // times that a page is asked for without a browser
	opened           = 7   // times that a page is opened
	looked           = 40  // times that the gateway is looked at while pages are open
)

// nothing is a page that needs neither rights nor data.
const nothing = "/dashboard/sign-in"

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
	var all errgroup.Group
	all.SetLimit(8)
	for i := range deliveries {
		name := fmt.Sprintf("delivery-%05d", i)
		l.deliveries = append(l.deliveries, name)
		all.Go(func() error { return l.deliver(ctx, name, i) })
	}
	Expect(all.Wait()).To(Succeed())
}

func (l *load) deliver(ctx context.Context, name string, i int) error {
	now := metav1.NowMicro()
	delivery := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: name},
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

// change patches deliveries until ctx ends, so many a second, and says how many
// it has.
func (l *load) change(ctx context.Context) int {
	tick := time.NewTicker(time.Second / changesPerSecond)
	defer tick.Stop()
	var changed atomic.Int64
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for i := range tick.C {
				if ctx.Err() != nil {
					return
				}
				delivery := &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: l.deliveries[i.UnixMicro()%int64(len(l.deliveries))]}}
				patch := fmt.Appendf(nil, `{"status":{"responseStatus":%d}}`, 200+i.UnixMicro()%5)
				if cluster.Client.Status().Patch(ctx, delivery, client.RawPatch(types.MergePatchType, patch)) == nil {
					changed.Add(1)
				}
			}
		})
	}
	workers.Wait()
	return int(changed.Load())
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
	defer t.close()
	var c cost
	command(t, network.Enable, network.EnableParams{})
	t.authorised(token)
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

// costsOfPage are those of opening a page some times; the first time the rights
// of the caller are not known yet.
type costsOfPage struct{ first, middle, slowest cost }

func openAll(token, path string) (of costsOfPage) {
	GinkgoHelper()
	var costs []cost
	for range opened {
		costs = append(costs, open(token, path))
	}
	of.first = costs[0]
	slices.SortFunc(costs, func(a, b cost) int { return int(a.answer - b.answer) })
	of.middle, of.slowest = costs[opened/2], costs[opened-1]
	return of
}

func (of costsOfPage) String() string {
	return fmt.Sprintf("load average %s; the first time: answer %s, loaded %s; middle of %d: answer %s, loaded %s; slowest answer %s; %d bytes",
		loadAverage(), of.first.answer, of.first.loaded, opened, of.middle.answer, of.middle.loaded, of.slowest.answer, of.middle.bytes)
}

// fetchAll asks for a page again and again without a browser, which would take
// both cores: how long the first answer took, and the 99th percentile of the others.
func fetchAll(ctx context.Context, token, path string) (first, p99 time.Duration) {
	GinkgoHelper()
	var took []time.Duration
	for range fetched {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, gateway.URL+path, nil)
		Expect(err).NotTo(HaveOccurred())
		request.Header.Set("Authorization", "Bearer "+token)
		began := time.Now()
		answer, err := http.DefaultClient.Do(request)
		Expect(err).NotTo(HaveOccurred())
		_, err = io.Copy(io.Discard, answer.Body)
		Expect(errors.Join(err, answer.Body.Close())).To(Succeed())
		took = append(took, time.Since(began))
		Expect(answer.StatusCode).To(Equal(http.StatusOK), path)
	}
	first = took[0]
	slices.Sort(took[1:])
	return first, took[len(took)*99/100]
}

// occupied is what the gateway holds.
type occupied struct {
	resident, heap      float64 // bytes; of the heap, at which it is collected next: that follows what is alive
	goroutines, sockets float64
	pages               float64 // made since it started
	cpu                 float64 // seconds since it started
}

func occupies(ctx context.Context) occupied {
	GinkgoHelper()
	samples, err := stack.Scrape(ctx, gateway.MetricsURL)
	Expect(err).NotTo(HaveOccurred())
	o := occupied{
		resident: samples.Sum("process_resident_memory_bytes"), heap: samples.Sum("go_memstats_next_gc_bytes"),
		goroutines: samples.Sum("go_goroutines"), sockets: samples.Sum("process_open_fds"), cpu: samples.Sum("process_cpu_seconds_total"),
	}
	for _, page := range []string{"overview", "webhooks", "webhook"} {
		o.pages += samples.Sum("bbmcp_gateway_requests_total", "operation", "dashboard-"+page)
	}
	return o
}

// authorised puts a token into the browser, as signing in would.
func (t *tab) authorised(token string) {
	GinkgoHelper()
	command(t, network.SetCookie, network.SetCookieParams{Name: "bbmcp-token", Value: token, URL: gateway.URL + "/dashboard/", Path: "/dashboard", HTTPOnly: new(true)})
}

// follow keeps pages open for a while, and says what the gateway occupied then,
// at regular times. A stream that broke has to come back.
func follow(ctx context.Context, token string, pages []string, live time.Duration) (samples []occupied) {
	GinkgoHelper()
	var open []*tab
	for i := range openPages {
		t := newTabFor(looks[0], live+10*time.Minute)
		t.authorised(token)
		t.visit(pages[i%len(pages)])
		open = append(open, t)
	}
	tick := time.NewTicker(live / looked)
	defer tick.Stop()
	for range looked {
		<-tick.C
		samples = append(samples, occupies(ctx))
	}
	for _, t := range open {
		t.shows("Live")
	}
	return samples
}

// loadAverage is how many processes of this machine want a core.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	average, _, _ := strings.Cut(string(text), " ")
	return average
}

var _ = Describe("under load", Serial, func() {
	It("pages come at once, weigh little, and stay open without growing", func(ctx SpecContext) {
		live, err := time.ParseDuration(os.Getenv("LIVE"))
		if err != nil {
			Skip("a measurement: LIVE=5m, on a machine that does nothing else")
		}
		l := &load{namespace: cluster.NewNamespace(ctx, "load")}
		l.seed(ctx, size("WEBHOOKS", 200), size("DELIVERIES", 2000))
		token := cluster.NewAccount(ctx, l.namespace, "person", everything...)
		By("letting what that has set off come to rest")
		<-time.After(settles)
		changing, stop := context.WithCancel(ctx)
		changed := make(chan int, 1)
		began := time.Now()
		go func() { changed <- l.change(changing) }()
		base := "/dashboard/ns/" + l.namespace
		pages := []string{base + "/", base + "/webhooks", base + "/webhooks/" + identity.WebhookID(l.namespace, l.webhooks[0])}
		for _, path := range pages {
			waited, p99 := fetchAll(ctx, cluster.NewAccount(ctx, l.namespace, "person", everything...), path)
			measured("%s, asked for %d times by a program: rights unknown %s, p99 after that %s", path, fetched, waited, p99)
			Expect(waited).To(BeNumerically("<", slowestPage), path)
			Expect(p99).To(BeNumerically("<", slowestPage), path)
		}
		// What a browser with a new profile needs for a page that costs nothing.
		measured("a browser's own part: %s: %s", nothing, openAll(token, nothing))
		var costs []costsOfPage
		for _, path := range pages {
			of := openAll(token, path)
			measured("%s: %s", path, of)
			costs = append(costs, of)
		}

		samples := follow(ctx, token, pages, live)
		stop()
		rate := float64(<-changed) / time.Since(began).Seconds()
		early, late := mean(samples[looked/4:looked/2]), mean(samples[looked*3/4:])
		made, spent := samples[looked-1].pages-samples[0].pages, samples[looked-1].cpu-samples[0].cpu
		measured("%d live pages for %s at %.0f changes a second, load average %s: %.1f pages a second, %.2f cores; second quarter, then last: resident %.1f, %.1f MiB; heap %.1f, %.1f MiB; goroutines %.0f, %.0f; descriptors %.0f, %.0f",
			openPages, live, rate, loadAverage(), made/live.Seconds(), spent/live.Seconds(), early.resident/(1<<20), late.resident/(1<<20), early.heap/(1<<20), late.heap/(1<<20),
			early.goroutines, late.goroutines, early.sockets, late.sockets)
		for i, of := range costs {
			Expect(of.middle.answer).To(BeNumerically("<", slowestPage), pages[i])
			Expect(of.middle.bytes).To(BeNumerically("<", heaviestPage), pages[i])
		}
		Expect(made/live.Seconds()).To(BeNumerically(">", 1), "the pages follow")
		Expect(rate).To(BeNumerically(">", changesPerSecond*.8))
		Expect(late.resident).To(BeNumerically("<", early.resident*1.1+4<<20), "the gateway grows: %v", samples)
		Expect(late.heap).To(BeNumerically("<", early.heap*1.2+4<<20), "its heap grows: %v", samples)
		Expect(late.goroutines).To(BeNumerically("<", early.goroutines+10))
		Expect(late.sockets).To(BeNumerically("<", early.sockets+5))
	}, SpecTimeout(20*time.Minute))
})

// measured reports a figure, at once and again in the end.
func measured(format string, args ...any) {
	By(fmt.Sprintf(format, args...))
	AddReportEntry(fmt.Sprintf(format, args...), ReportEntryVisibilityAlways)
}

// mean is the middle of what was seen.
func mean(samples []occupied) (m occupied) {
	n := float64(len(samples))
	for _, s := range samples {
		m.resident += s.resident / n
		m.heap += s.heap / n
		m.goroutines += s.goroutines / n
		m.sockets += s.sockets / n
	}
	return m
}

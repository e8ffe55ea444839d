// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"fmt"
	"testing"
	"time"
)

func TestNamespacesTakeTurnsThenWebhooksThenJobs(t *testing.T) {
	inWorld(t, Options{Unsettled: 1}, func(w *world) {
		w.submit("x/takes-the-slot/0")
		w.settleDown()
		w.many("a/one", "", 3)
		w.many("a/two", "", 3)
		w.many("b/one", "", 2)
		w.submit("c/one/0")
		w.wait(time.Second)
		expectList(t, "sent", w.order(), []string{
			"x/takes-the-slot/0",
			"a/one/0", "b/one/0", "c/one/0", "a/two/0", "b/one/1", "a/one/1", "a/two/1", "a/one/2", "a/two/2",
		})
	})
}

func TestAQuietNamespaceWaitsOneRoundAtMost(t *testing.T) {
	inWorld(t, Options{Unsettled: 1}, func(w *world) {
		for i := range 10 {
			w.many(fmt.Sprintf("busy/hook%d", i), "", 100)
		}
		w.many("other/hook", "", 1000)
		w.wait(time.Second)
		for range 20 {
			w.submit(fmt.Sprintf("quiet/hook/%d", w.total()))
			w.wait(200 * ms)
		}
		for _, s := range w.log() {
			if s.hook == "quiet/hook" && s.waited > 60*ms {
				t.Errorf("%s waited %v behind two other namespaces with 20 ms each", s.uid, s.waited)
			}
		}
		expect(t, "sent", w.count("quiet/hook"), 20)
	})
}

func TestAFullDestinationDoesNotBlockOthers(t *testing.T) {
	inWorld(t, Options{PerDestination: 8}, func(w *world) {
		for i := range 30 {
			for n := range 3 {
				job := w.job(fmt.Sprintf("ns%d/shared%d/%d", i%3, i, n), 1)
				job.Destination = "shared.example.com:443"
				w.submitJob(job)
			}
		}
		w.many("ns0/alone", "", 5)
		w.settleDown()
		expect(t, "sent to a destination of its own", w.count("ns0/alone"), 1)
		w.wait(40 * ms)
		if n := w.count("ns0/alone"); n < 3 {
			t.Errorf("sent to a destination of its own: %d", n)
		}
		for range 200 {
			w.wait(5 * ms)
		}
		expect(t, "sent in all", w.total(), 95)
	})
}

func TestNamespacesTakeTurnsAtAFullDestination(t *testing.T) {
	inWorld(t, Options{PerDestination: 1}, func(w *world) {
		shared := func(uid string) {
			job := w.job(uid, 1)
			job.Destination = "shared.example.com:443"
			w.submitJob(job)
		}
		for i := range 50 {
			shared(fmt.Sprintf("big/hook%d/a", i))
		}
		w.settleDown()
		shared("small/hook/a")
		w.wait(40 * ms)
		if got := w.order(); got[1] != "small/hook/a" && got[2] != "small/hook/a" {
			t.Errorf("sent: %v", got)
		}
		w.wait(2 * time.Second)
		expect(t, "sent in all", w.total(), 51)
	})
}

func TestTheCapPerWebhookHolds(t *testing.T) {
	inWorld(t, Options{PerWebhook: 5}, func(w *world) {
		w.many("ns/hook", "", 200)
		w.wait(time.Second)
		expect(t, "most in flight at a time", w.peakOf("ns/hook"), 5)
		expect(t, "sent", w.count("ns/hook"), 200)
	})
}

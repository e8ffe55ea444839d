// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"fmt"
	"testing"
	"time"
)

func TestNamespacesTakeTurnsThenWebhooksThenJobs(t *testing.T) {
	withRunner(t, Options{Unsettled: 1}, func(f *runnerFixture) {
		f.submit("x/takes-the-slot/0")
		f.settleDown()
		f.many("a/one", "", 3)
		f.many("a/two", "", 3)
		f.many("b/one", "", 2)
		f.submit("c/one/0")
		f.wait(time.Second)
		expectList(t, "sent", f.order(), []string{
			"x/takes-the-slot/0",
			"a/one/0", "b/one/0", "c/one/0", "a/two/0", "b/one/1", "a/one/1", "a/two/1", "a/one/2", "a/two/2",
		})
	})
}

func TestAQuietNamespaceWaitsOneRoundAtMost(t *testing.T) {
	withRunner(t, Options{Unsettled: 1}, func(f *runnerFixture) {
		for i := range 10 {
			f.many(fmt.Sprintf("busy/hook%d", i), "", 100)
		}
		f.many("other/hook", "", 1000)
		f.wait(time.Second)
		for range 20 {
			f.submit(fmt.Sprintf("quiet/hook/%d", f.total()))
			f.wait(200 * ms)
		}
		for _, s := range f.log() {
			if s.hook == "quiet/hook" && s.waited > 60*ms {
				t.Errorf("%s waited %v behind two other namespaces with 20 ms each", s.uid, s.waited)
			}
		}
		expect(t, "sent", f.count("quiet/hook"), 20)
	})
}

func TestAFullDestinationDoesNotBlockOthers(t *testing.T) {
	withRunner(t, Options{PerDestination: 8}, func(f *runnerFixture) {
		for i := range 30 {
			for n := range 3 {
				job := f.job(fmt.Sprintf("ns%d/shared%d/%d", i%3, i, n), 1)
				job.Destination = "shared.example.com:443"
				f.submitJob(job)
			}
		}
		f.many("ns0/alone", "", 5)
		f.settleDown()
		expect(t, "sent to a destination of its own", f.count("ns0/alone"), 1)
		f.wait(40 * ms)
		if n := f.count("ns0/alone"); n < 3 {
			t.Errorf("sent to a destination of its own: %d", n)
		}
		for range 200 {
			f.wait(5 * ms)
		}
		expect(t, "sent in all", f.total(), 95)
	})
}

func TestNamespacesTakeTurnsAtAFullDestination(t *testing.T) {
	withRunner(t, Options{PerDestination: 1}, func(f *runnerFixture) {
		shared := func(uid string) {
			job := f.job(uid, 1)
			job.Destination = "shared.example.com:443"
			f.submitJob(job)
		}
		for i := range 50 {
			shared(fmt.Sprintf("big/hook%d/a", i))
		}
		f.settleDown()
		shared("small/hook/a")
		f.wait(40 * ms)
		if got := f.order(); got[1] != "small/hook/a" && got[2] != "small/hook/a" {
			t.Errorf("sent: %v", got)
		}
		f.wait(2 * time.Second)
		expect(t, "sent in all", f.total(), 51)
	})
}

func TestTheCapPerWebhookHolds(t *testing.T) {
	withRunner(t, Options{PerWebhook: 5}, func(f *runnerFixture) {
		f.many("ns/hook", "", 200)
		f.wait(time.Second)
		expect(t, "most under way at a time", f.peakOf("ns/hook"), 5)
		expect(t, "sent", f.count("ns/hook"), 200)
	})
}

// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// delays returns how long the deliveries of some webhooks waited to be sent.
func (f *runnerFixture) delays(since time.Duration, hooks ...string) []time.Duration {
	var waited []time.Duration
	for _, s := range f.log() {
		if slices.Contains(hooks, s.hook) && s.at-s.waited >= since {
			waited = append(waited, s.waited)
		}
	}
	slices.Sort(waited)
	return waited
}

func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)-1)*p/100]
}

var healthy = []string{"shared/good0", "shared/good1", "shared/good2", "own/good3", "own/good4"}

// feed submits one delivery to every healthy webhook every 50 ms.
func (f *runnerFixture) feed(name string, rounds int) {
	for i := range rounds {
		for _, hook := range healthy {
			f.submit(fmt.Sprintf("%s/%s%d", hook, name, i))
		}
		time.Sleep(50 * ms)
	}
	f.settleDown()
}

// 200 webhooks hang, ten times as many jobs as there are slots are queued to
// them. Five healthy webhooks, three of them in the same namespace, get every
// delivery out the moment it is submitted once they are healthy; at the start,
// when nothing is known about anybody, within SlowAfter.
func TestHangingWebhooksDoNotDelayHealthyOnes(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		for i := range 200 {
			f.answer(fmt.Sprintf("shared/bad%d", i), hangs())
			f.many(fmt.Sprintf("shared/bad%d", i), "", 26) // 10 x U in all
		}
		f.feed("start", 60)
		start := f.delays(0, healthy...)
		if worst := start[len(start)-1]; worst > time.Second {
			t.Errorf("at the start a delivery waited %v, more than SlowAfter", worst)
		}
		f.wait(10 * time.Second)
		steady := f.elapsed()
		f.feed("steady", 400)
		waited := f.delays(steady, healthy...)
		expect(t, "deliveries", len(waited), 2000)
		t.Logf("at the start: p50 %v, p99 %v, worst %v; then: p50 %v, p99 %v, worst %v",
			percentile(start, 50), percentile(start, 99), start[len(start)-1],
			percentile(waited, 50), percentile(waited, 99), waited[len(waited)-1])
		expect(t, "p99 of the wait", percentile(waited, 99), 0)
		expect(t, "worst wait", waited[len(waited)-1], 0)

		before := f.elapsed()
		f.many("shared/good0", "backlog", 3200)
		for f.State("shared/good0/backlog3199").Phase != None {
			f.wait(20 * ms)
		}
		if took := f.elapsed() - before; took > 2100*ms { // 32 at a time, 20 ms each: 2 s
			t.Errorf("3,200 deliveries of one healthy webhook took %v", took)
		}
		stats := f.Stats()
		if queued := stats.States[endpoint.Slow].Queued + stats.States[endpoint.Hanging].Queued; queued < 2000 {
			t.Errorf("only %d jobs are still queued to webhooks that hang", queued)
		}
	})
}

// The same webhooks were healthy, and busy, until a moment ago.
func TestWebhooksThatBeginToHangDoNotDelayHealthyOnes(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		for i := range 200 {
			f.many(fmt.Sprintf("shared/bad%d", i), "before", 4)
		}
		f.feed("before", 40)
		for i := range 200 {
			f.answer(fmt.Sprintf("shared/bad%d", i), hangs())
			f.many(fmt.Sprintf("shared/bad%d", i), "after", 26)
		}
		begin := f.elapsed()
		f.feed("after", 400)
		waited := f.delays(begin, healthy...)
		t.Logf("p50 %v, p99 %v, worst %v", percentile(waited, 50), percentile(waited, 99), waited[len(waited)-1])
		expect(t, "deliveries", len(waited), 2000)
		expect(t, "worst wait", waited[len(waited)-1], 0)
	})
}

func TestABacklogAfterARestartDoesNotDelayOthers(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.many("ns/behind", "overdue", 5000)
		f.submit("ns/other/new", "elsewhere/hook/new")
		f.settleDown()
		for _, s := range f.log() {
			expect(t, "wait of "+string(s.uid), s.waited, 0)
		}
		expect(t, "sent to a webhook beside it", f.count("ns/other"), 1)
		expect(t, "sent in another namespace", f.count("elsewhere/hook"), 1)
		f.wait(4 * time.Second)
		expect(t, "sent of the backlog", f.count("ns/behind"), 5000)
	})
}

// Every webhook gets on, whatever its state, though there are far too few slots
// for those that hang. With 27 webhooks that hang and 12 that are slow, one of
// which nothing is known yet waits at most until each of these had a turn in
// three quarters of the slots, and a slow one until they had one in half of them.
func TestNoWebhookStarves(t *testing.T) {
	withRunner(t, Options{Unsettled: 16}, func(f *runnerFixture) {
		kinds := []answer{status(200, 20*ms), status(200, 2*time.Second), status(500, 50*ms), hangs(), hangs(), hangs()}
		for i := range 60 {
			hook := fmt.Sprintf("ns%d/hook%d", i%3, i)
			f.answer(hook, kinds[i/3%len(kinds)])
			f.many(hook, "", 30)
		}
		f.wait(time.Hour)
		sends := map[int]int{}
		last := map[string]time.Duration{}
		var first, later [6]time.Duration // longest wait for the first attempt, for the next
		for _, s := range f.log() {
			var i int
			if _, err := fmt.Sscanf(s.hook[4:], "hook%d", &i); err != nil {
				t.Fatal(err)
			}
			kind := i / 3 % len(kinds)
			sends[kind]++
			if before, ok := last[s.hook]; ok {
				later[kind] = max(later[kind], s.at-before)
			} else {
				first[kind] = max(first[kind], s.at)
			}
			last[s.hook] = s.at
		}
		t.Logf("longest wait for the first attempt: %v, for a later one: %v", first, later)
		const round = 40 * 10 * time.Second
		for kind, bound := range []time.Duration{time.Second, round / 8, round / 12} {
			if first[kind] > round/12 {
				t.Errorf("a webhook of kind %d waited %v for its first attempt", kind, first[kind])
			}
			if later[kind] > bound {
				t.Errorf("a webhook of kind %d was passed over for %v", kind, later[kind])
			}
			if want := []int{12, 12, 9}[kind] * 30; sends[kind] != want {
				t.Errorf("sent to webhooks of kind %d: got %d, want %d", kind, sends[kind], want)
			}
		}
	})
}

// An attempt that times out tells nothing that is worth a write to the API server:
// those that do it time after time hold an eighth of the slots, and hand on the
// rest to slow ones that answer.
func TestHangingWebhooksHoldAnEighth(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		for i := range 200 {
			f.answer(fmt.Sprintf("shared/bad%d", i), hangs())
			f.many(fmt.Sprintf("shared/bad%d", i), "", 30)
			f.answer(fmt.Sprintf("shared/slow%d", i), status(200, 2*time.Second))
		}
		f.wait(2 * time.Minute)
		before := f.total()
		f.wait(100 * time.Second)
		attempts := f.total() - before
		if attempts < 570 || attempts > 650 { // 64 slots, 10 s each
			t.Errorf("%d attempts in 100 s", attempts)
		}
		stats := f.Stats()
		expect(t, "slots of those that hang", stats.States[endpoint.Hanging].Unsettled, 64)
		expect(t, "longest wait of all others", stats.OldestQueued, 0)
		if stats.States[endpoint.Hanging].OldestQueued < time.Minute {
			t.Errorf("those that hang wait for %v at most", stats.States[endpoint.Hanging].OldestQueued)
		}
		for i := range 200 {
			f.many(fmt.Sprintf("shared/slow%d", i), "", 20)
		}
		f.wait(20 * time.Second)
		if n := f.Stats().States[endpoint.Slow].Unsettled; n != 192 {
			t.Errorf("those that are slow hold %d slots, of 192", n)
		}
	})
}

// An endpoint that refuses at once keeps the API server no busier than an eighth
// of what one write at a time can.
func TestAFailingWebhookWaitsForItsWrites(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.latency = 50 * ms
		f.answer("ns/bad", inTurn(status(200, ms), status(200, ms), status(500, ms)))
		f.many("ns/bad", "", 400)
		f.wait(time.Second)
		before := f.count("ns/bad")
		f.wait(10 * time.Second)
		if n := f.count("ns/bad") - before; n < 20 || n > 25 { // a write takes 50 ms, the rest 350
			t.Errorf("%d attempts in 10 s", n)
		}
		if n := f.Stats().Unsettled; n > 1 {
			t.Errorf("%d outcomes wait to be written", n)
		}
		f.answer("ns/bad", status(200, ms))
		f.wait(4 * time.Second)
		expect(t, "sent once it is well again", f.count("ns/bad"), 400)
	})
}

// Slow endpoints that do answer are not starved by those that never do.
func TestSlowWebhooksThatAnswerKeepTheirShareBesideThoseThatHang(t *testing.T) {
	withRunner(t, Options{Unsettled: 64}, func(f *runnerFixture) {
		f.answer("shared/slow", status(200, 2*time.Second))
		f.answer("own/slow", status(200, 2*time.Second))
		for i := range 200 {
			f.answer(fmt.Sprintf("shared/bad%d", i), hangs())
			f.many(fmt.Sprintf("shared/bad%d", i), "", 20)
		}
		f.many("shared/slow", "", 10)
		f.many("own/slow", "", 100)
		f.wait(12 * time.Minute)
		expect(t, "sent to the slow one among those that hang", f.count("shared/slow"), 10)
		expect(t, "sent to the slow one elsewhere", f.count("own/slow"), 100)
		if n := f.count("shared/bad0"); n == 20 {
			t.Error("nothing was queued any more to those that hang")
		}
	})
}

// What hangs together ends together. It does not begin together again.
func TestAttemptsThatTimedOutTogetherAreFollowedOneByOne(t *testing.T) {
	withRunner(t, Options{Unsettled: 400}, func(f *runnerFixture) {
		for i := range 100 { // as many as the share of unproven webhooks has slots
			f.answer(fmt.Sprintf("shared/bad%d", i), hangs())
			f.many(fmt.Sprintf("shared/bad%d", i), "", 2)
		}
		f.wait(time.Minute)
		var second []time.Duration
		for _, s := range f.log() {
			if s.at >= 10*time.Second {
				second = append(second, s.at)
			}
		}
		slices.Sort(second)
		expect(t, "attempts in all", len(second), 100)
		// The share has 200 slots and attempts take 10 s: they are filled within 8 s,
		// a sixteenth of them at once.
		for i, at := range second {
			after := max(0, time.Duration(i)*40*ms-500*ms)
			expect(t, fmt.Sprintf("start of attempt %d of the second round", i), at, 10*time.Second+after)
		}
	})
}

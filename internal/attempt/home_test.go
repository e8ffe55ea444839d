// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"testing"
	"time"
)

func TestFailingWritesOfOneNamespaceDoNotStopOthers(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.submit("refuses/hook/first", "well/hook/first")
		f.wait(time.Second)
		f.silent = true
		f.submit("refuses/hook/unacknowledged")
		f.wait(time.Second)
		f.PlatformHealth("refuses", WriteUnanswered)
		f.wait(2 * time.Second)
		f.PlatformHealth("refuses", WriteUnanswered)
		f.submit("refuses/hook/a", "refuses/other/a")
		f.silent = false
		f.submit("well/hook/a", "well/other/a")
		f.wait(time.Hour)
		expect(t, "sent of the namespace that refuses", f.count("refuses/hook")+f.count("refuses/other"), 2)
		expect(t, "sent of another", f.count("well/hook")+f.count("well/other"), 3)
		stats := f.Stats()
		expect(t, "stalled", stats.Stalled, false)
		expect(t, "stalled namespaces", stats.StalledNamespaces, 1)
		f.writeAll()
		f.PlatformHealth("refuses", WriteTaken)
		f.wait(time.Second)
		expect(t, "sent once it takes writes", f.count("refuses/hook")+f.count("refuses/other"), 4)
		expect(t, "stalled namespaces in the end", f.Stats().StalledNamespaces, 0)
	})
}

// What waits where nothing can be written would else take all slots from others.
func TestAnOutcomeThatCannotBeWrittenKeepsNoSlot(t *testing.T) {
	withRunner(t, Options{Unsettled: 8}, func(f *runnerFixture) {
		for _, hook := range []string{"refuses/a", "refuses/b", "refuses/c", "refuses/d", "well/a"} {
			f.submit(hook + "/first")
			f.wait(time.Second)
		}
		f.silent = true
		f.many("refuses/a", "x", 8)
		f.many("refuses/b", "x", 8)
		f.many("refuses/c", "x", 8)
		f.many("refuses/d", "x", 8)
		f.wait(time.Second)
		held := f.Stats().Unsettled
		if held < 4 {
			t.Fatalf("%d outcomes wait to be written", held)
		}
		sent := f.total()
		f.PlatformHealth("refuses", WriteUnanswered)
		f.wait(2 * time.Second)
		f.PlatformHealth("refuses", WriteUnanswered)
		f.settleDown()
		expect(t, "slots in use", f.Stats().Unsettled, 0)
		expect(t, "outcomes without a slot", f.Stats().Stranded, held)
		expect(t, "kept to be written", len(f.unsettled()), held)
		f.silent = false
		f.many("well/a", "x", 20)
		f.wait(time.Minute)
		expect(t, "sent of another namespace", f.count("well/a"), 21)
		expect(t, "sent in all", f.total(), sent+20)
		f.writeAll()
		f.PlatformHealth("refuses", WriteTaken)
		f.wait(time.Minute)
		expect(t, "sent in the end", f.total(), 4+32+21)
		expect(t, "slots in use in the end", f.Stats().Unsettled+f.Stats().Stranded, 0)
	})
}

func TestOneAttemptProbesTheWritesOfItsNamespace(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.submit("ns/hook/first")
		f.wait(time.Second)
		f.silent = true
		f.PlatformHealth("ns", WriteUnanswered)
		f.wait(2 * time.Second)
		f.submit("ns/hook/1", "ns/other/1")
		f.wait(8*time.Second - ms)
		expect(t, "sent before 10 s", f.total(), 1)
		f.wait(ms)
		expect(t, "sent after 10 s", f.total(), 2)
		f.wait(time.Hour)
		expect(t, "sent while that waits to be written", f.total(), 2)
		f.writeAll()
		f.PlatformHealth("ns", WriteUnanswered)
		f.wait(time.Minute)
		expect(t, "sent after another failure", f.total(), 3)
		f.writeAll()
		f.PlatformHealth("ns", WriteTaken)
		f.wait(time.Minute)
		expect(t, "queued in the end", f.Stats().Queued, 0)
	})
}

func TestStalledSaysWhetherNothingStartsAnywhere(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.submit("a/hook/1", "b/hook/1", "c/hook/1")
		f.wait(time.Second)
		f.PlatformHealth("a", WriteUnanswered)
		f.PlatformHealth("b", WriteUnanswered)
		f.wait(2 * time.Second)
		expect(t, "nothing is written anywhere", f.Stats().Stalled, true)
		f.PlatformHealth("c", WriteTaken)
		expect(t, "something is", f.Stats().Stalled, false)
		expect(t, "stalled namespaces", f.Stats().StalledNamespaces, 2)
		f.PlatformHealth("a", WriteTaken)
		f.PlatformHealth("b", WriteTaken)
		f.PlatformHealth("a", WriteUnanswered)
		f.wait(3 * time.Second)
		expect(t, "one namespace may be to blame itself", f.Stats().Stalled, false)
	})
}

func TestANamespaceThatFailsIsForgottenWithItsWebhooks(t *testing.T) {
	withRunner(t, Options{}, func(f *runnerFixture) {
		f.submit("ns/hook/1")
		f.wait(time.Second)
		f.PlatformHealth("ns", WriteUnanswered)
		f.PlatformHealth("nothing is known of", WriteUnanswered)
		f.wait(3 * time.Second)
		f.submit("ns/hook/2")
		f.wait(time.Second)
		f.Cancel("ns/hook/2")
		f.Reset(f.webhookKey("ns/hook"), WebhookChange{Gone: true})
		expect(t, "namespaces", len(f.scheduler.namespaces)+len(f.scheduler.failing), 0)
		f.submit("ns/hook/3")
		f.wait(time.Second)
		expect(t, "sent once it is there again", f.count("ns/hook"), 2)
	})
}

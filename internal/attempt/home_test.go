// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"testing"
	"time"
)

func TestWhatOneNamespaceCannotWriteStopsNobodyElse(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.submit("refuses/hook/first", "well/hook/first")
		w.wait(time.Second)
		w.silent = true
		w.submit("refuses/hook/unwritten")
		w.wait(time.Second)
		w.WriteFailed("refuses")
		w.wait(2 * time.Second)
		w.WriteFailed("refuses")
		w.submit("refuses/hook/a", "refuses/other/a")
		w.silent = false
		w.submit("well/hook/a", "well/other/a")
		w.wait(time.Hour)
		expect(t, "sent of the namespace that refuses", w.count("refuses/hook")+w.count("refuses/other"), 2)
		expect(t, "sent of another", w.count("well/hook")+w.count("well/other"), 3)
		stats := w.Stats()
		expect(t, "stalled", stats.Stalled, false)
		expect(t, "stalled namespaces", stats.StalledNamespaces, 1)
		w.writeAll()
		w.WriteSucceeded("refuses")
		w.wait(time.Second)
		expect(t, "sent once it takes writes", w.count("refuses/hook")+w.count("refuses/other"), 4)
		expect(t, "stalled namespaces in the end", w.Stats().StalledNamespaces, 0)
	})
}

// What waits where nothing can be written would else take all slots from others.
func TestWhatCannotBeWrittenKeepsNoSlot(t *testing.T) {
	inWorld(t, Options{Unsettled: 8}, func(w *world) {
		for _, hook := range []string{"refuses/a", "refuses/b", "refuses/c", "refuses/d", "well/a"} {
			w.submit(hook + "/first")
			w.wait(time.Second)
		}
		w.silent = true
		w.many("refuses/a", "x", 8)
		w.many("refuses/b", "x", 8)
		w.many("refuses/c", "x", 8)
		w.many("refuses/d", "x", 8)
		w.wait(time.Second)
		held := w.Stats().Unsettled
		if held < 4 {
			t.Fatalf("%d outcomes wait to be written", held)
		}
		sent := w.total()
		w.WriteFailed("refuses")
		w.wait(2 * time.Second)
		w.WriteFailed("refuses")
		w.settleDown()
		expect(t, "slots in use", w.Stats().Unsettled, 0)
		expect(t, "outcomes without a slot", w.Stats().Stranded, held)
		expect(t, "kept to be written", len(w.Unsettled()), held)
		w.silent = false
		w.many("well/a", "x", 20)
		w.wait(time.Minute)
		expect(t, "sent of another namespace", w.count("well/a"), 21)
		expect(t, "sent in all", w.total(), sent+20)
		w.writeAll()
		w.WriteSucceeded("refuses")
		w.wait(time.Minute)
		expect(t, "sent in the end", w.total(), 4+32+21)
		expect(t, "slots in use in the end", w.Stats().Unsettled+w.Stats().Stranded, 0)
	})
}

func TestOneAttemptFindsOutForItsNamespace(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.submit("ns/hook/first")
		w.wait(time.Second)
		w.silent = true
		w.WriteFailed("ns")
		w.wait(2 * time.Second)
		w.submit("ns/hook/1", "ns/other/1")
		w.wait(8*time.Second - ms)
		expect(t, "sent before 10 s", w.total(), 1)
		w.wait(ms)
		expect(t, "sent after 10 s", w.total(), 2)
		w.wait(time.Hour)
		expect(t, "sent while that waits to be written", w.total(), 2)
		w.writeAll()
		w.WriteFailed("ns")
		w.wait(time.Minute)
		expect(t, "sent after another failure", w.total(), 3)
		w.writeAll()
		w.WriteSucceeded("ns")
		w.wait(time.Minute)
		expect(t, "queued in the end", w.Stats().Queued, 0)
	})
}

func TestStalledSaysWhetherNothingStartsAnywhere(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.submit("a/hook/1", "b/hook/1", "c/hook/1")
		w.wait(time.Second)
		w.WriteFailed("a")
		w.WriteFailed("b")
		w.wait(2 * time.Second)
		expect(t, "nothing is written anywhere", w.Stats().Stalled, true)
		w.WriteSucceeded("c")
		expect(t, "something is", w.Stats().Stalled, false)
		expect(t, "stalled namespaces", w.Stats().StalledNamespaces, 2)
		w.WriteSucceeded("a")
		w.WriteSucceeded("b")
		w.WriteFailed("a")
		w.wait(3 * time.Second)
		expect(t, "one namespace may be to blame itself", w.Stats().Stalled, false)
	})
}

func TestANamespaceThatFailsIsForgottenWithItsWebhooks(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.submit("ns/hook/1")
		w.wait(time.Second)
		w.WriteFailed("ns")
		w.WriteFailed("nothing is known of")
		w.wait(3 * time.Second)
		w.submit("ns/hook/2")
		w.wait(time.Second)
		w.Withdraw("ns/hook/2")
		w.ForgetWebhook(w.webhookKey("ns/hook"))
		expect(t, "namespaces", len(w.namespaces)+len(w.failing), 0)
		w.submit("ns/hook/3")
		w.wait(time.Second)
		expect(t, "sent once it is there again", w.count("ns/hook"), 2)
	})
}

// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestTurnsSpreadWhatCanWait(t *testing.T) {
	hook := func(i int) types.NamespacedName {
		return types.NamespacedName{Namespace: "team-a", Name: fmt.Sprint(i)}
	}
	var turns counterThrottle
	same(t, turns.delay(hook(0), at(0)), time.Duration(0)) // nobody else writes
	turns.finish(hook(0), 10*time.Millisecond)
	for i := 1; i <= 3; i++ {
		same(t, turns.delay(hook(i), at(0)), time.Duration(i-1)*40*time.Millisecond)
	}
	same(t, turns.delay(hook(3), at(50*time.Millisecond)), 30*time.Millisecond) // it keeps its turn
	turns.cancel(hook(3))
	same(t, turns.delay(hook(3), at(50*time.Millisecond)), 70*time.Millisecond) // behind those that came since
	same(t, turns.delay(hook(1), at(second)), time.Duration(0))                 // one that is late is not lost
	turns.finish(hook(1), 10*time.Millisecond)
	same(t, turns.delay(hook(4), at(minute)), time.Duration(0)) // nobody has been before it for long
	turns.finish(hook(4), 8*second)
	before := turns.delay(hook(5), at(minute))
	same(t, turns.delay(hook(6), at(minute))-before, turns.latencyAverage+throttleRestMax)
}

func TestCountersWaitForTheMinuteAndThenForTheirTurn(t *testing.T) {
	var r WebhookReconciler
	first, second := types.NamespacedName{Name: "a"}, types.NamespacedName{Name: "b"}
	r.counterThrottle.finish(first, 10*time.Millisecond)
	same(t, r.counterDelay(first, at(0)), time.Duration(0))
	same(t, r.counterDelay(second, at(0)), 40*time.Millisecond)
	r.lastWrites.Store(first, at(0))
	same(t, r.counterDelay(first, at(20*time.Second)), 40*time.Second)
}

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
	var turns turns
	same(t, turns.wait(hook(0), at(0)), time.Duration(0)) // nobody else writes
	turns.written(hook(0), 10*time.Millisecond)
	for i := 1; i <= 3; i++ {
		same(t, turns.wait(hook(i), at(0)), time.Duration(i-1)*40*time.Millisecond)
	}
	same(t, turns.wait(hook(3), at(50*time.Millisecond)), 30*time.Millisecond) // it keeps its turn
	turns.forget(hook(3))
	same(t, turns.wait(hook(3), at(50*time.Millisecond)), 70*time.Millisecond) // behind those that came since
	same(t, turns.wait(hook(1), at(second)), time.Duration(0))                 // one that is late is not lost
	turns.written(hook(1), 10*time.Millisecond)
	same(t, turns.wait(hook(4), at(minute)), time.Duration(0)) // nobody has been before it for long
	turns.written(hook(4), 8*second)
	before := turns.wait(hook(5), at(minute))
	same(t, turns.wait(hook(6), at(minute))-before, turns.took+mostTurnRest)
}

func TestCountersWaitForTheMinuteAndThenForTheirTurn(t *testing.T) {
	var r WebhookReconciler
	first, second := types.NamespacedName{Name: "a"}, types.NamespacedName{Name: "b"}
	r.counters.written(first, 10*time.Millisecond)
	same(t, r.untilTurn(first, at(0)), time.Duration(0))
	same(t, r.untilTurn(second, at(0)), 40*time.Millisecond)
	r.written.Store(first, at(0))
	same(t, r.untilTurn(first, at(20*time.Second)), 40*time.Second)
}

// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestCounterThrottleSpreadsWrites(t *testing.T) {
	hook := func(i int) types.NamespacedName {
		return types.NamespacedName{Namespace: "team-a", Name: fmt.Sprint(i)}
	}
	var throttle counterThrottle
	same(t, throttle.delay(hook(0), at(0)), time.Duration(0)) // no other write is planned
	throttle.finish(hook(0), 10*time.Millisecond)
	for i := 1; i <= 3; i++ {
		same(t, throttle.delay(hook(i), at(0)), time.Duration(i-1)*40*time.Millisecond)
	}
	same(t, throttle.delay(hook(3), at(50*time.Millisecond)), 30*time.Millisecond) // it keeps its turn
	throttle.cancel(hook(3))
	same(t, throttle.delay(hook(3), at(50*time.Millisecond)), 70*time.Millisecond) // behind those that came since
	same(t, throttle.delay(hook(1), at(second)), time.Duration(0))                 // one that is late is not lost
	throttle.finish(hook(1), 10*time.Millisecond)
	same(t, throttle.delay(hook(4), at(minute)), time.Duration(0)) // no write has been planned for long
	throttle.finish(hook(4), 8*second)
	before := throttle.delay(hook(5), at(minute))
	same(t, throttle.delay(hook(6), at(minute))-before, throttle.latencyAverage+throttleRestMax)
}

func TestCountersWaitForTheMinuteAndThenForTheThrottle(t *testing.T) {
	var r WebhookReconciler
	first, second := types.NamespacedName{Name: "a"}, types.NamespacedName{Name: "b"}
	r.counterThrottle.finish(first, 10*time.Millisecond)
	same(t, r.counterDelay(first, at(0)), time.Duration(0))
	same(t, r.counterDelay(second, at(0)), 40*time.Millisecond)
	r.lastWrites.Store(first, at(0))
	same(t, r.counterDelay(first, at(20*time.Second)), 40*time.Second)
}

// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// clockSlack is how far ahead another clock may be.
const clockSlack = time.Minute

// notAfter bounds a claimed time of a past event by now: clocks differ, and objects
// can be written by hand.
func notAfter(claimed, now time.Time) time.Time {
	if claimed.After(now.Add(clockSlack)) {
		return now
	}
	return claimed
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func timeOf(t *metav1.MicroTime) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

func microTime(t time.Time) *metav1.MicroTime {
	if t.IsZero() {
		return nil
	}
	return new(metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond)))
}

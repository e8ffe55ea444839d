// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func presentNumber(n *int32) *int {
	if n == nil {
		return nil
	}
	return new(int(*n))
}

func presentTime(t *metav1.MicroTime) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

func presentSeconds(t *metav1.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

// orNull returns nil, JSON null, for an empty text.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func durationOrNull(d *metav1.Duration) *string {
	if d == nil {
		return nil
	}
	return new(formatDuration(d.Duration))
}

// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func nullableNumber(n *int32) *int {
	if n == nil {
		return nil
	}
	return new(int(*n))
}

func nullableTime(t *metav1.MicroTime) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

func nullableSeconds(t *metav1.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

// nullableText returns nil, JSON null, for an empty text.
func nullableText(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func nullableDuration(d *metav1.Duration) *string {
	if d == nil {
		return nil
	}
	return new(formatSettingDuration(d.Duration))
}

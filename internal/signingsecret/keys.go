// SPDX-License-Identifier: Apache-2.0

package signingsecret

import (
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

// KeysFor chooses which secret is primary for an attempt (CONTRACT §1,
// Rotation): the old one until the new one is confirmed; the other one than
// last time after an answer that doubts the signature.
func KeysFor(secrets Secrets, confirmed bool, last *v1alpha1.Attempt, now time.Time) (signature.Keys, v1alpha1.SigningKey) {
	if !secrets.Overlaps(now) {
		return signature.Keys{Primary: secrets.Current}, ""
	}
	primary := v1alpha1.SigningKeyPrevious
	if confirmed {
		primary = v1alpha1.SigningKeyCurrent
	}
	if last != nil && last.Primary != "" && DoubtsKey(last.ResponseStatus) {
		primary = otherKey(last.Primary)
	}
	if primary == v1alpha1.SigningKeyCurrent {
		return signature.Keys{Primary: secrets.Current, Secondary: secrets.Previous}, primary
	}
	return signature.Keys{Primary: secrets.Previous, Secondary: secrets.Current}, primary
}

func otherKey(key v1alpha1.SigningKey) v1alpha1.SigningKey {
	if key == v1alpha1.SigningKeyCurrent {
		return v1alpha1.SigningKeyPrevious
	}
	return v1alpha1.SigningKeyCurrent
}

// DoubtsKey reports whether an answer is what receivers give to a signature
// that they cannot verify: 400, 401 or 403.
func DoubtsKey(status *int32) bool {
	return status != nil && (*status == 400 || *status == 401 || *status == 403)
}

// ConfirmsKey reports whether the status of a Webhook says that the endpoint knows
// the new secret of the rotation that ends then; zero: without an end.
func ConfirmsKey(status *v1alpha1.SigningStatus, end time.Time) bool {
	if status == nil || status.Primary != v1alpha1.SigningKeyCurrent {
		return false
	}
	if status.OverlapEndTime == nil {
		return end.IsZero()
	}
	return status.OverlapEndTime.Time.Equal(end.Truncate(time.Second))
}

// SPDX-License-Identifier: Apache-2.0

package signingsecret

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/internal/settings"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

const (
	// RotatedForAnnotation on a generated Secret lists the latest requests that
	// rotations answered, the newest first, as a JSON array.
	RotatedForAnnotation = "bbmcp.quietstack.com/rotated-for"

	// maxRequestBytes is also what a status can hold of a request.
	maxRequestBytes = 256
	// maxRequests is how many answered requests are remembered. Two callers can
	// rotate at once, each having asked before the other has written: the one
	// whose request is not the latest must not be taken for unanswered.
	maxRequests = 8
)

// RotationRequest is what stands for a request to rotate, of any length, wherever it
// is kept.
func RotationRequest(asked string) string { return text.Truncate(asked, maxRequestBytes) }

// RotationAnswered reports whether a rotation has answered a request, and whether that
// was the latest one, so that its secret is the one that is there.
func RotationAnswered(secret *corev1.Secret, request string) (answered, latest bool) {
	place := slices.Index(answeredRotations(secret), RotationRequest(request))
	return place >= 0, place == 0
}

// OvertakenSecret returns the secret that answered a request and signs on as the
// previous one, because exactly one rotation has followed; else "".
func OvertakenSecret(secret *corev1.Secret, request string) string {
	if slices.Index(answeredRotations(secret), RotationRequest(request)) != 1 {
		return ""
	}
	return string(secret.Data[v1alpha1.PreviousSecretKey])
}

// Rotate puts a new secret in and keeps the old one beside it for the Webhook's
// overlap. One that was there from a rotation before is dropped. A request that
// was answered changes nothing.
func Rotate(secret *corev1.Secret, webhook *v1alpha1.Webhook, request string, now time.Time, random io.Reader) (changed bool, err error) {
	if answered, _ := RotationAnswered(secret, request); answered {
		return false, nil
	}
	value, err := signature.GenerateSecret(random)
	if err != nil {
		return false, err
	}
	if err := MarkRotationAnswered(secret, request); err != nil {
		return false, err
	}
	old := secret.Data[v1alpha1.SecretKey]
	secret.Data = map[string][]byte{v1alpha1.SecretKey: []byte(value.Reveal())}
	delete(secret.Annotations, v1alpha1.PreviousUntilAnnotation)
	if overlap := settings.Overlap(webhook); overlap > 0 && signature.ValidateSecret(string(old)) == nil {
		secret.Data[v1alpha1.PreviousSecretKey] = old
		secret.Annotations[v1alpha1.PreviousUntilAnnotation] = now.Add(overlap).UTC().Format(time.RFC3339Nano)
	}
	return true, nil
}

// PruneRotation removes the previous secret once the overlap is over.
func PruneRotation(secret *corev1.Secret, now time.Time) (changed bool) {
	end, err := time.Parse(time.RFC3339, secret.Annotations[v1alpha1.PreviousUntilAnnotation])
	if err != nil || now.Before(end) {
		return false
	}
	delete(secret.Data, v1alpha1.PreviousSecretKey)
	delete(secret.Annotations, v1alpha1.PreviousUntilAnnotation)
	return true
}

// MarkRotationAnswered notes on a Secret that its value answers a request.
func MarkRotationAnswered(secret *corev1.Secret, request string) error {
	requests := append([]string{RotationRequest(request)}, answeredRotations(secret)...)
	text, err := json.Marshal(requests[:min(len(requests), maxRequests)])
	if err != nil {
		return fmt.Errorf("note the request of a rotation: %w", err)
	}
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	secret.Annotations[RotatedForAnnotation] = string(text)
	return nil
}

// answeredRotations are the requests that a Secret remembers. An annotation
// that is no such list remembers none.
func answeredRotations(secret *corev1.Secret) []string {
	var requests []string
	if json.Unmarshal([]byte(secret.Annotations[RotatedForAnnotation]), &requests) != nil {
		return nil
	}
	return requests
}

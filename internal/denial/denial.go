// SPDX-License-Identifier: Apache-2.0

package denial

import (
	"errors"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Kind is who refused a write.
type Kind string

const (
	// None: it was carried out, or nobody knows, or other objects are in its way as
	// they are now: a conflict, one of its name, none of its name.
	None Kind = ""
	// Policy: an admission webhook, a ValidatingAdmissionPolicy or an admission
	// plugin of the cluster said no, with whatever code.
	Policy Kind = "Policy"
	// Quota: a ResourceQuota leaves no room.
	Quota Kind = "Quota"
	// Role: RBAC gives no right.
	Role Kind = "Role"
	// Broken: an admission webhook that must be asked did not answer.
	Broken Kind = "Broken"
	// Namespace: the namespace is being deleted, or is gone.
	Namespace Kind = "Namespace"
	// Object: the object breaks the rules of its kind, is immutable, or too large.
	Object Kind = "Object"
)

// What the API server writes, before a policy's own words.
const (
	webhookName     = `admission webhook "`              // admission webhook "x.example" denied the request: …
	deniedByWebhook = `denied the request`               //
	policyName      = `olicy '`                          // … is forbidden: ValidatingAdmissionPolicy 'x' with binding 'y' denied request: …
	deniedByPolicy  = ` denied request: `                //
	brokenWebhook   = `failed calling webhook "`         // Internal error occurred: failed calling webhook "x.example": …
	whereBroken     = `: failed to call webhook: `       // and then an address
	withoutRight    = `is forbidden: User "`             // … is forbidden: User "x" cannot create resource …
	quota           = `quota: `                          // … is forbidden: exceeded quota: x, requested: …
	noQuota         = `insufficient quota to `           // … consume: …, of what may be used with a quota only
	tooLargeForEtcd = `etcdserver: request is too large` // with 500
)

// KindOf says who refused a write, by the error that the client returned.
func KindOf(err error) Kind {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return None
	}
	said := status.Status()
	switch {
	case strings.HasPrefix(said.Message, webhookName) && strings.Contains(said.Message, deniedByWebhook),
		strings.Contains(said.Message, policyName) && strings.Contains(said.Message, deniedByPolicy):
		return Policy
	case strings.Contains(said.Message, brokenWebhook):
		return Broken
	case strings.Contains(said.Message, tooLargeForEtcd):
		return Object
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return Namespace
	case apierrors.IsNotFound(err) && said.Details != nil && said.Details.Kind == "namespaces":
		return Namespace
	case apierrors.IsForbidden(err):
		return kindOfForbidden(said.Message)
	}
	switch said.Code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity,
		http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
		return Object
	case http.StatusUnauthorized:
		return Role
	}
	return None
}

func kindOfForbidden(message string) Kind {
	switch {
	case strings.Contains(message, withoutRight):
		return Role
	case strings.Contains(message, quota), strings.Contains(message, noQuota):
		return Quota
	}
	return Policy
}

// IsLasting reports whether the same write will be refused again until a person
// changes something. A policy that denies with 429 or 5xx says that it may take it
// later.
func IsLasting(err error) bool {
	switch KindOf(err) {
	case None, Broken:
		return false
	case Policy:
		status, _ := errors.AsType[*apierrors.StatusError](err)
		code := status.Status().Code
		return code < http.StatusInternalServerError && code != http.StatusTooManyRequests
	}
	return true
}

// IsConflict is apierrors.IsConflict, unless a policy chose that code.
func IsConflict(err error) bool { return apierrors.IsConflict(err) && KindOf(err) == None }

// IsNotFound is apierrors.IsNotFound of an object, unless a policy chose that code
// or its namespace is gone.
func IsNotFound(err error) bool { return apierrors.IsNotFound(err) && KindOf(err) == None }

// IsAlreadyExists is apierrors.IsAlreadyExists, unless a policy chose that reason.
func IsAlreadyExists(err error) bool { return apierrors.IsAlreadyExists(err) && KindOf(err) == None }

// IsTooLarge reports whether the API server or etcd takes no object as large as this
// one, unless a policy chose that code. It says nothing about other writes.
func IsTooLarge(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && KindOf(err) == Object && (apierrors.IsRequestEntityTooLargeError(err) || strings.Contains(status.Status().Message, tooLargeForEtcd))
}

// Sentence is what the API server said, without the addresses of a webhook that
// did not answer, which change; "": it said nothing.
func Sentence(err error) string {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return ""
	}
	said := status.Status().Message
	if strings.Contains(said, brokenWebhook) {
		said, _, _ = strings.Cut(said, whereBroken)
	}
	return strings.Join(strings.Fields(said), " ")
}

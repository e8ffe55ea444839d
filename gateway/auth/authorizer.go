// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/authn"
	"bbmcp.quietstack.com/webhooks/internal/authz"
)

// Resources and the verb of this project in rights.
const (
	Webhooks   = "webhooks"
	Deliveries = "webhookdeliveries"
	EventTypes = "eventtypes"
	Secrets    = "secrets"

	VerbPublish = "publish"
)

// Right is a verb on a resource of this project, or on secrets, in a namespace.
type Right struct {
	Verb, Resource, Namespace string
	// Name is the name of one object; "": all objects.
	Name string
}

// AccessReviewer finds out what an identity may do; see authz.Authorizer.
type AccessReviewer interface {
	May(ctx context.Context, identity *authn.Identity, question authz.Question) (bool, error)
}

// Authorizer checks the rights of callers.
type Authorizer struct{ reviews AccessReviewer }

// NewAuthorizer makes an Authorizer.
func NewAuthorizer(reviews AccessReviewer) *Authorizer { return &Authorizer{reviews} }

// May reports whether the caller has a right. Errors are ErrAudienceTooNarrow,
// *LimitExceeded and *Unavailable.
func (a *Authorizer) May(ctx context.Context, caller *Caller, right Right) (bool, error) {
	if caller.ForPublishing && right.isDoneAsCaller() {
		return false, ErrAudienceTooNarrow
	}
	allowed, err := a.reviews.May(ctx, caller.Identity, right.question())
	if allowed {
		return true, nil
	}
	if limited, ok := errors.AsType[*authz.LimitError](err); ok {
		return false, &LimitExceeded{Detail: caller.Name() + " asks for too many different rights; try again", Wait: limited.Wait}
	}
	if err != nil {
		return false, &Unavailable{Action: "checking rights", Cause: err}
	}
	return false, nil
}

// Require returns nil if the caller has a right, *Forbidden if not, or an error of May.
// Check a right on an object before the caller learns whether the object exists.
func (a *Authorizer) Require(ctx context.Context, caller *Caller, right Right) error {
	allowed, err := a.May(ctx, caller, right)
	if err != nil || allowed {
		return err
	}
	return newForbidden(caller, right)
}

// RequireOnObject is Require for one object by its name, or by the id of the request if
// the object does not exist, so that both refusals take the same reviews and have the
// same text. The right to all objects is reviewed first: most callers have it, or none.
func (a *Authorizer) RequireOnObject(ctx context.Context, caller *Caller, right Right) error {
	all := right
	all.Name = ""
	refused := a.Require(ctx, caller, all)
	if _, ok := errors.AsType[*Forbidden](refused); !ok {
		return refused
	}
	err := a.Require(ctx, caller, right)
	if _, ok := errors.AsType[*Forbidden](err); ok {
		return refused
	}
	return err
}

// isDoneAsCaller reports whether the verb is carried out with the caller's own token.
func (r Right) isDoneAsCaller() bool {
	switch r.Verb {
	case "get", "list", "watch", VerbPublish:
		return false
	}
	return true
}

func (r Right) question() authz.Question {
	q := authz.Question{
		Verb: r.Verb, Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: r.Resource, Namespace: r.Namespace, Name: r.Name,
	}
	if r.Resource == Secrets {
		q.Group, q.Version = corev1.GroupName, corev1.SchemeGroupVersion.Version
	}
	return q
}

// advice names the role that gives the right; "": no role of this project does.
func (r Right) advice() string {
	role := map[string]string{Webhooks: "bbmcp-viewer", Deliveries: "bbmcp-delivery-viewer", EventTypes: "bbmcp-publisher"}[r.Resource]
	switch r.Verb {
	case "create", "update", "patch", "delete":
		role = "bbmcp-editor"
	}
	if role == "" {
		return ""
	}
	return "; the role " + role + " gives that right"
}

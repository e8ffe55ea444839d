// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/authn"
	"bbmcp.quietstack.com/webhooks/internal/authz"
)

// Resources and the verb of our own that rights are about.
const (
	resourceWebhooks   = "webhooks"
	resourceDeliveries = "webhookdeliveries"
	resourceEventTypes = "eventtypes"
	resourceSecrets    = "secrets"
	verbPublish        = "publish"
)

// requireRight returns nil if the caller may do this, else a problem. Whoever asks
// about one object is asked for the right before it is told whether it exists.
func (g *Gateway) requireRight(ctx context.Context, caller *caller, verb, resource, namespace, name string) error {
	if caller.ForPublishing && isDoneAsCaller(verb) {
		return audienceTooNarrow()
	}
	allowed, err := g.rights.May(ctx, caller.Identity, newQuestion(verb, resource, namespace, name))
	if allowed {
		requestInfoOf(ctx).granted.Store(true)
		return nil
	}
	if limited, ok := errors.AsType[*authz.LimitError](err); ok {
		return newProblem(http.StatusTooManyRequests, reasonTooManyRequests, caller.name()+" asks for too many different rights; try again").setRetryAfter(limited.Wait)
	}
	if err != nil {
		return unavailable("checking rights", err)
	}
	object := resource
	if name != "" {
		object = fmt.Sprintf("%s %q", resource, name)
	}
	return newProblem(http.StatusForbidden, reasonForbidden, fmt.Sprintf("%s may not %s %s in namespace %s%s", caller.name(), verb, object, namespace, roleAdvice(verb, resource)))
}

// requireRightOnObject is permit for one object, by its name; of one that is not there by the id
// that the caller gave, so that a refusal takes the same questions and has the same words
// for both. The right to all objects is asked for first: most callers have it, or none.
func (g *Gateway) requireRightOnObject(ctx context.Context, caller *caller, verb, resource, namespace, name string) error {
	refused := g.requireRight(ctx, caller, verb, resource, namespace, "")
	if p, ok := errors.AsType[*problem](refused); !ok || p.Reason != reasonForbidden {
		return refused
	}
	err := g.requireRight(ctx, caller, verb, resource, namespace, name)
	if p, ok := errors.AsType[*problem](err); ok && p.Reason == reasonForbidden {
		return refused
	}
	return err
}

// isDoneAsCaller reports whether what a verb is about is done with the caller's own token.
func isDoneAsCaller(verb string) bool {
	switch verb {
	case "get", "list", "watch", verbPublish:
		return false
	}
	return true
}

// audienceTooNarrow says that the API server would not take the caller's token.
func audienceTooNarrow() *problem {
	return newProblem(http.StatusForbidden, reasonAudienceTooNarrow, fmt.Sprintf(
		"this token is of the audience %q alone: that is for publishing and reading. Changes are made at the API server with the caller's own token, which has to be of its audience: "+
			"request it without an audience", authn.PublishingAudience))
}

// newQuestion is about one of our resources, or secrets.
func newQuestion(verb, resource, namespace, name string) authz.Question {
	q := authz.Question{
		Verb: verb, Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: resource, Namespace: namespace, Name: name,
	}
	if resource == resourceSecrets {
		q.Group, q.Version = corev1.GroupName, corev1.SchemeGroupVersion.Version
	}
	return q
}

// roleAdvice names the role that has a right.
func roleAdvice(verb, resource string) string {
	role := map[string]string{
		resourceWebhooks: "bbmcp-viewer", resourceDeliveries: "bbmcp-delivery-viewer", resourceEventTypes: "bbmcp-publisher",
	}[resource]
	switch verb {
	case "create", "update", "patch", "delete":
		role = "bbmcp-editor"
	}
	if role == "" {
		return ""
	}
	return "; the role " + role + " gives that right"
}

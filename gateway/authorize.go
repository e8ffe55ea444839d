// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// Resources and the verb of our own that rights are about.
const (
	resourceWebhooks   = "webhooks"
	resourceDeliveries = "webhookdeliveries"
	resourceEventTypes = "eventtypes"
	resourceSecrets    = "secrets"
	verbPublish        = "publish"
)

const (
	// freshTTL is for how long a right that was granted is not even looked up:
	// that makes JSON of the question each time. It is part of answerTTL.
	freshTTL = time.Second
	// freshMost bounds how many rights that is done for.
	freshMost = 4096
)

// newAuthorizer asks the API server and keeps its answers.
func newAuthorizer(reviews authorizationclient.AuthorizationV1Interface) (authorizer.Authorizer, error) {
	config := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: reviews,
		AllowCacheTTL:             answerTTL - freshTTL,
		DenyCacheTTL:              refusalTTL,
		WebhookRetryBackoff:       &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 2},
	}
	authorize, err := config.New()
	if err != nil {
		return nil, fmt.Errorf("set up authorization: %w", err)
	}
	return authorize, nil
}

// permit returns nil if the caller may do this, else a problem. Whoever asks
// about one object is asked for the right before it is told whether it exists.
func (g *Gateway) permit(ctx context.Context, who *caller, verb, resource, namespace, name string) error {
	what := authorizer.AttributesRecord{
		User: who.user, Verb: verb, Namespace: namespace, Name: name, ResourceRequest: true,
		APIGroup: v1alpha1.GroupVersion.Group, APIVersion: v1alpha1.GroupVersion.Version, Resource: resource,
	}
	if resource == resourceSecrets {
		what.APIGroup, what.APIVersion = corev1.GroupName, corev1.SchemeGroupVersion.Version
	}
	allowed, err := g.mayDo(ctx, who, what)
	if allowed {
		note(ctx).granted.Store(true)
		return nil
	}
	if err != nil {
		return unavailable("checking rights", err)
	}
	object := resource
	if name != "" {
		object = fmt.Sprintf("%s %q", resource, name)
	}
	return newProblem(http.StatusForbidden, reasonForbidden, fmt.Sprintf("%s may not %s %s in namespace %s%s", who.user.GetName(), verb, object, namespace, adviceFor(verb, resource)))
}

// mayDo asks for a right once at a time: when the answer has just expired, a
// publisher of many events would ask the API server for each of them.
func (g *Gateway) mayDo(ctx context.Context, who *caller, what authorizer.AttributesRecord) (bool, error) {
	question := strings.Join([]string{who.token, what.Verb, what.Resource, what.Namespace, what.Name}, "\n")
	digest := sha256.Sum256([]byte(question)) // no token stays in memory for it
	if _, granted := g.granted.Get(digest); granted {
		return true, nil
	}
	allowed, err, _ := g.reviews.Do(question, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout) // others wait for it as well
		defer cancel()
		decision, _, err := g.authorizer.Authorize(ctx, what)
		return decision == authorizer.DecisionAllow, err
	})
	is, _ := allowed.(bool)
	if is && err == nil {
		g.granted.Add(digest, nil, freshTTL)
	}
	return is, err
}

// adviceFor names the role that has a right.
func adviceFor(verb, resource string) string {
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

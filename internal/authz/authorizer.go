// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"

	"bbmcp.quietstack.com/webhooks/internal/authn"
	"bbmcp.quietstack.com/webhooks/internal/faircache"
	"bbmcp.quietstack.com/webhooks/internal/ratelimit"
)

const (
	// AnswerTTL is how long a positive review is cached.
	AnswerTTL = time.Minute
	// RefusalTTL is how long a negative review is cached.
	RefusalTTL = 10 * time.Second
	// maxAnswers bounds the cached reviews.
	maxAnswers = 16_384
	// reviewTimeout bounds one review by the API server, which is repeated once after
	// retryAfter if it fails.
	reviewTimeout = 3 * time.Second
	retryAfter    = 100 * time.Millisecond

	// Reviews a second, and at once, of one caller, and of the ServiceAccounts of one
	// namespace.
	callerRate, callerBurst       = 20, 200
	namespaceRate, namespaceBurst = 100, 500
)

// LimitError says that a caller asks too many different questions.
type LimitError struct {
	// Wait is the time until the limit allows the next review.
	Wait time.Duration
}

// Error implements error.
func (e *LimitError) Error() string { return "too many different rights are asked for" }

// Question is a right on a resource, or, with Path only, on a path.
type Question struct {
	Verb, Group, Version, Resource, Namespace, Name string
	Path                                            string
}

// Authorizer finds out what callers may do. Make it with New; it is safe for concurrent
// use.
type Authorizer struct {
	reviews authorizationclient.SubjectAccessReviewInterface
	metrics *Metrics

	answers *faircache.Cache[[sha256.Size]byte, bool]
	flights singleflight.Group

	byCaller, byNamespace *ratelimit.Keyed
}

// New makes an Authorizer that asks the API server with the process's own rights.
func New(config *rest.Config, metrics *Metrics, now func() time.Time) (*Authorizer, error) {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("set up authorization: %w", err)
	}
	return newAuthorizer(clients.AuthorizationV1().SubjectAccessReviews(), metrics, now), nil
}

func newAuthorizer(reviews authorizationclient.SubjectAccessReviewInterface, metrics *Metrics, now func() time.Time) *Authorizer {
	return &Authorizer{
		reviews: reviews, metrics: metrics, answers: faircache.New[[sha256.Size]byte, bool](maxAnswers, now),
		byCaller: ratelimit.New(callerRate, callerBurst, now), byNamespace: ratelimit.New(namespaceRate, namespaceBurst, now),
	}
}

// May reports whether a caller has a right. *LimitError says that it was not reviewed; any
// other error that the API server could not be asked. Concurrent callers share one review
// of a question: when an answer has just expired, a publisher of many events would
// otherwise cause a review for each.
func (a *Authorizer) May(ctx context.Context, identity *authn.Identity, question Question) (bool, error) {
	key := questionKey(identity, question)
	if allowed, ok := a.answers.Get(key); ok {
		return allowed, nil
	}
	answer, err, _ := a.flights.Do(string(key[:]), func() (any, error) {
		return a.reviewAccess(context.WithoutCancel(ctx), identity, question, key) // others wait for it as well
	})
	allowed, _ := answer.(bool)
	return allowed && err == nil, err
}

func (a *Authorizer) reviewAccess(ctx context.Context, identity *authn.Identity, question Question, key [sha256.Size]byte) (bool, error) {
	wait, ok := a.byCaller.Allow(identity.User.GetName())
	if ok && identity.Namespace != "" {
		wait, ok = a.byNamespace.Allow(identity.Namespace)
	}
	if !ok {
		a.metrics.accessReview(reviewLimited)
		return false, &LimitError{Wait: wait}
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	review, err := a.reviews.Create(ctx, newAccessReview(identity, question), metav1.CreateOptions{})
	if err != nil {
		timer := time.NewTimer(retryAfter)
		defer timer.Stop()
		select {
		case <-timer.C:
			review, err = a.reviews.Create(ctx, newAccessReview(identity, question), metav1.CreateOptions{})
		case <-ctx.Done():
		}
	}
	if err != nil {
		a.metrics.accessReview(reviewFailed)
		return false, fmt.Errorf("review rights: %w", err)
	}
	allowed := review.Status.Allowed
	lasts := RefusalTTL
	if allowed {
		lasts = AnswerTTL
	}
	a.metrics.accessReview(reviewAnswered)
	a.answers.Put(identity.User.GetName(), key, allowed, lasts)
	return allowed, nil
}

func questionKey(identity *authn.Identity, question Question) [sha256.Size]byte {
	text := make([]byte, 0, 256)
	text = append(text, identity.Digest[:]...)
	for _, part := range []string{question.Verb, question.Group, question.Resource, question.Namespace, question.Name, question.Path} {
		text = append(binary.AppendUvarint(text, uint64(len(part))), part...)
	}
	return sha256.Sum256(text)
}

func newAccessReview(identity *authn.Identity, question Question) *authorizationv1.SubjectAccessReview {
	spec := authorizationv1.SubjectAccessReviewSpec{
		User: identity.User.GetName(), UID: identity.User.GetUID(), Groups: identity.User.GetGroups(),
		Extra: make(map[string]authorizationv1.ExtraValue, len(identity.User.GetExtra())),
	}
	for key, values := range identity.User.GetExtra() {
		spec.Extra[key] = values
	}
	if question.Path != "" {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: question.Path, Verb: question.Verb}
	} else {
		spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
			Verb: question.Verb, Group: question.Group, Version: question.Version, Resource: question.Resource, Namespace: question.Namespace, Name: question.Name,
		}
	}
	return &authorizationv1.SubjectAccessReview{Spec: spec}
}

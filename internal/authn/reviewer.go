// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"

	"bbmcp.quietstack.com/webhooks/internal/faircache"
	"bbmcp.quietstack.com/webhooks/internal/ratelimit"
)

const (
	// AnswerTTL is how long a positive review is cached. The API server itself caches a
	// review for 10 s, so a revoked token works for 70 s at most.
	AnswerTTL = time.Minute
	// RefusalTTL is how long a negative review is cached.
	RefusalTTL = 10 * time.Second
	// knownTTL is how long a token that was valid is reviewed without a rate limit.
	knownTTL = time.Hour
	// maxKnown and maxRefused bound the cached tokens.
	maxKnown, maxRefused = 20_000, 5_000
	// reviewTimeout bounds one review by the API server.
	reviewTimeout = 3 * time.Second

	// PublishingAudience is the audience of tokens that are valid for publishing and
	// reading at the gateway, and for nothing at the API server.
	PublishingAudience = "bbmcp"

	// MaxTokenBytes is larger than any token of a ServiceAccount.
	MaxTokenBytes = 16 << 10

	// Reviews of new tokens a second, and at once, for the ServiceAccounts of one
	// namespace.
	namespaceRate, namespaceBurst = 50, 500
	// Reviews of tokens that no key of the cluster verifies, from one address and in all.
	addressRate, addressBurst     = 25, 50
	uncheckedRate, uncheckedBurst = 100, 200
)

// InvalidError says why a token is invalid. Its text is for the caller.
type InvalidError struct{ Detail string }

// Error implements error.
func (e *InvalidError) Error() string { return e.Detail }

// LimitError says that too many tokens of a kind are being tried for all to be reviewed.
type LimitError struct {
	// Wait is the time until the limit allows the next review.
	Wait time.Duration
	// Unchecked: no key of the cluster verifies the token.
	Unchecked bool
}

// Error implements error.
func (e *LimitError) Error() string { return "too many tokens are being tried" }

// Identity is the owner of a token.
type Identity struct {
	User user.Info
	// Namespace is the namespace of the ServiceAccount; "": the owner is none.
	Namespace string
	// ForPublishing: the token is of PublishingAudience alone. The API server rejects it,
	// so no request can be made with the caller's own token.
	ForPublishing bool
	// Digest is a hash of everything that the API server says of the owner: equal digests
	// have equal rights.
	Digest [sha256.Size]byte
}

// Reviewer authenticates tokens. Make it with New; it is safe for concurrent use.
type Reviewer struct {
	reviews authenticationclient.TokenReviewInterface
	keys    *issuerKeys
	now     func() time.Time
	metrics *Metrics

	known   *faircache.Cache[[sha256.Size]byte, known]
	refused *faircache.Cache[[sha256.Size]byte, struct{}]
	flights singleflight.Group

	byNamespace, byAddress, unchecked *ratelimit.Keyed
}

// known is a token that was valid lately.
type known struct {
	identity *Identity
	until    time.Time // when it has to be reviewed again
}

// New makes a Reviewer that asks the API server with the process's own rights.
func New(config *rest.Config, metrics *Metrics, now func() time.Time) (*Reviewer, error) {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("set up authentication: %w", err)
	}
	get := func(ctx context.Context, path string) ([]byte, error) {
		return clients.Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx)
	}
	return newReviewer(clients.AuthenticationV1().TokenReviews(), get, metrics, now), nil
}

func newReviewer(reviews authenticationclient.TokenReviewInterface, get func(context.Context, string) ([]byte, error), metrics *Metrics, now func() time.Time) *Reviewer {
	return &Reviewer{
		reviews: reviews, keys: &issuerKeys{get: get, now: now, metrics: metrics}, now: now, metrics: metrics,
		known:       faircache.New[[sha256.Size]byte, known](maxKnown, now),
		refused:     faircache.New[[sha256.Size]byte, struct{}](maxRefused, now),
		byNamespace: ratelimit.New(namespaceRate, namespaceBurst, now),
		byAddress:   ratelimit.New(addressRate, addressBurst, now),
		unchecked:   ratelimit.New(uncheckedRate, uncheckedBurst, now),
	}
}

// ReadKeys reads the keys of the cluster before the first token arrives.
func (r *Reviewer) ReadKeys(ctx context.Context) { r.keys.current(ctx, "") }

// Authenticate returns the owner of a token that came from an address. *InvalidError says
// that the token is invalid, *LimitError that it was not reviewed; any other error that
// the API server could not be asked.
func (r *Reviewer) Authenticate(ctx context.Context, token, address string) (*Identity, error) {
	digest := sha256.Sum256([]byte(token))
	cached, isKnown := r.known.Get(digest)
	if isKnown && r.now().Before(cached.until) {
		r.metrics.tokenChecked(tokenRemembered)
		return cached.identity, nil
	}
	if _, isRefused := r.refused.Get(digest); isRefused {
		r.metrics.tokenChecked(tokenRemembered)
		return nil, errTokenRefused()
	}
	if len(token) > MaxTokenBytes {
		r.metrics.tokenChecked(tokenImpossible)
		return nil, &InvalidError{"this is no token of a ServiceAccount"}
	}
	claims, err := r.keys.checkToken(ctx, token)
	if err != nil {
		r.metrics.tokenChecked(tokenImpossible)
		r.known.Delete(digest)
		return nil, err
	}
	if !isKnown {
		if err := r.allowReview(claims, address); err != nil {
			r.metrics.tokenChecked(tokenLimited)
			return nil, err
		}
	}
	answer, err, _ := r.flights.Do(string(digest[:]), func() (any, error) {
		return r.review(context.WithoutCancel(ctx), token, digest, claims, address) // others wait for it as well
	})
	if err != nil {
		return nil, err
	}
	identity, _ := answer.(*Identity)
	return identity, nil
}

// allowReview returns an error if the rate limits allow no review of a token that is not
// known.
func (r *Reviewer) allowReview(claims checkedToken, address string) error {
	if claims.verified {
		namespace, _, _ := serviceaccount.SplitUsername(claims.Subject) // of what the API server signed
		if wait, ok := r.byNamespace.Allow(namespace); !ok {
			return &LimitError{Wait: wait}
		}
		return nil
	}
	wait, ok := r.byAddress.Allow(address)
	if ok {
		wait, ok = r.unchecked.Allow("")
	}
	if !ok {
		return &LimitError{Wait: wait, Unchecked: true}
	}
	return nil
}

// review asks the API server, and caches the answer.
func (r *Reviewer) review(ctx context.Context, token string, digest [sha256.Size]byte, claims checkedToken, address string) (*Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	request := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}} // no audience: the API server's own
	forPublishing := claims.isForPublishing()
	if forPublishing {
		request.Spec.Audiences = []string{PublishingAudience}
	}
	review, err := r.reviews.Create(ctx, request, metav1.CreateOptions{})
	if err != nil {
		r.metrics.tokenChecked(tokenFailed)
		return nil, fmt.Errorf("review token: %w", err)
	}
	r.metrics.tokenChecked(tokenReviewed)
	// An authenticator that knows nothing of audiences names none.
	if !review.Status.Authenticated || forPublishing && !slices.Contains(review.Status.Audiences, PublishingAudience) {
		owner := address
		if claims.verified {
			owner = claims.Subject
		}
		r.known.Delete(digest)
		r.refused.Put(owner, digest, struct{}{}, RefusalTTL)
		return nil, errTokenRefused()
	}
	identity := newIdentity(review.Status.User)
	identity.ForPublishing = forPublishing
	now := r.now()
	until := now.Add(AnswerTTL)
	if claims.verified && claims.Expiry != nil && claims.Expiry.Time().Before(until) {
		until = claims.Expiry.Time()
	}
	r.known.Put(identity.User.GetName(), digest, known{identity, until}, knownTTL)
	return identity, nil
}

func newIdentity(info authenticationv1.UserInfo) *Identity {
	extra := make(map[string][]string, len(info.Extra))
	for key, values := range info.Extra {
		extra[key] = values
	}
	i := &Identity{User: &user.DefaultInfo{Name: info.Username, UID: info.UID, Groups: info.Groups, Extra: extra}}
	if namespace, _, err := serviceaccount.SplitUsername(info.Username); err == nil {
		i.Namespace = namespace
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %q %q", info.Username, info.UID, info.Groups)
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		fmt.Fprintf(hash, " %q=%q", key, extra[key])
	}
	hash.Sum(i.Digest[:0])
	return i
}

func errTokenRefused() error {
	return &InvalidError{"the token is not valid: it may have expired, been revoked, or be meant for another audience than the API server's or \"" + PublishingAudience + "\""}
}

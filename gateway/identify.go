// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	tokencache "k8s.io/apiserver/pkg/authentication/token/cache"
	"k8s.io/apiserver/pkg/authentication/user"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
)

const (
	// answerTTL and refusalTTL are for how long the API server's positive and
	// negative answers are kept. It keeps a token's review for 10 s itself, so a
	// token that is revoked works for 70 s at most.
	answerTTL  = 60 * time.Second
	refusalTTL = 10 * time.Second

	// reviewTimeout bounds one question to the API server.
	reviewTimeout = 3 * time.Second
	// maxTokenBytes is more than any ServiceAccount token has.
	maxTokenBytes = 16 << 10
	// Tokens that are not known cost the API server a review each. So many a
	// second may.
	reviewsPerSecond = 100
	reviewsBurst     = 200
)

// errTooManyReviews protects the API server from floods of invented tokens.
var errTooManyReviews = errors.New("too many unknown tokens")

// caller is who sent a request.
type caller struct {
	user      user.Info
	namespace string // of its ServiceAccount; "" if it is none
	token     string
}

// tokenReviewer asks the API server whose token it is.
type tokenReviewer struct {
	reviews authenticationclient.TokenReviewInterface
	limit   *rate.Limiter
}

// newAuthenticator asks the API server and keeps its answers. A token must be
// meant for the API server's own audience.
func newAuthenticator(reviews authenticationclient.TokenReviewInterface) authenticator.Token {
	reviewer := &tokenReviewer{reviews: reviews, limit: rate.NewLimiter(reviewsPerSecond, reviewsBurst)}
	return tokencache.New(reviewer, false, answerTTL, refusalTTL)
}

// AuthenticateToken implements authenticator.Token. An error says that the API
// server could not be asked; it is not kept.
func (r *tokenReviewer) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	if !r.limit.Allow() {
		return nil, false, errTooManyReviews
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	review, err := r.reviews.Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return nil, false, fmt.Errorf("review token: %w", err)
	}
	if !review.Status.Authenticated {
		return nil, false, nil
	}
	said := review.Status.User
	extra := make(map[string][]string, len(said.Extra))
	for key, values := range said.Extra {
		extra[key] = values
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: said.Username, UID: said.UID, Groups: said.Groups, Extra: extra}}, true, nil
}

// identify finds out who sent a request.
func (g *Gateway) identify(request *http.Request) (*caller, *problem) {
	token, p := bearer(request)
	if p != nil {
		return nil, p
	}
	response, ok, err := g.authenticator.AuthenticateToken(request.Context(), token)
	switch {
	case errors.Is(err, errTooManyReviews):
		return nil, newProblem(http.StatusTooManyRequests, reasonTooManyRequests, "too many unknown tokens are being tried; try again").retryAfter(retryShortly)
	case err != nil:
		return nil, unavailable("checking the token", err)
	case !ok:
		return nil, unauthenticated("the token is not valid: it may have expired, been revoked, or be meant for another audience than the API server's")
	}
	who := &caller{user: response.User, token: token}
	if namespace, _, err := serviceaccount.SplitUsername(response.User.GetName()); err == nil {
		who.namespace = namespace
	}
	return who, nil
}

func bearer(request *http.Request) (string, *problem) {
	header := request.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if header == "" {
		return "", unauthenticated("the header Authorization is missing; send \"Authorization: Bearer <token of a ServiceAccount>\"")
	}
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", unauthenticated("the header Authorization must be \"Bearer <token of a ServiceAccount>\"")
	}
	if len(token) > maxTokenBytes || strings.Count(token, ".") != 2 {
		return "", unauthenticated("this is no token of a ServiceAccount")
	}
	return token, nil
}

// Scope is the namespace that a request speaks of. It is exported, as what
// embeds it, because the OpenAPI library passes over what is not.
type Scope struct {
	Namespace string `query:"namespace" doc:"Namespace; default: that of the caller's ServiceAccount"`
}

// of returns the caller and the namespace.
func (s Scope) of(ctx context.Context) (*caller, string, error) {
	who := callerFrom(ctx)
	if who == nil {
		return nil, "", unauthenticated("nobody is signed in")
	}
	if s.Namespace == "" {
		if who.namespace == "" {
			return nil, "", fieldProblem(http.StatusBadRequest, reasonNamespaceMissing, "query.namespace", "is needed, because the token is not that of a ServiceAccount")
		}
		note(ctx).namespace = who.namespace
		return who, who.namespace, nil
	}
	if complaints := validation.IsDNS1123Label(s.Namespace); len(complaints) > 0 {
		return nil, "", fieldProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, "query.namespace", complaints[0])
	}
	note(ctx).namespace = s.Namespace
	return who, s.Namespace, nil
}

type callerKey struct{}

func callerFrom(ctx context.Context) *caller {
	who, _ := ctx.Value(callerKey{}).(*caller)
	return who
}

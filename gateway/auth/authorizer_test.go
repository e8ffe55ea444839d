// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"

	"bbmcp.quietstack.com/webhooks/internal/authn"
	"bbmcp.quietstack.com/webhooks/internal/authz"
)

// fakeReviewer allows the questions with these names, and keeps all questions.
type fakeReviewer struct {
	allowed map[string]bool
	err     error
	names   []string
}

func (f *fakeReviewer) May(_ context.Context, _ *authn.Identity, question authz.Question) (bool, error) {
	f.names = append(f.names, question.Name)
	return f.err == nil && f.allowed[question.Name], f.err
}

// newCaller makes a caller of the namespace shop.
func newCaller(forPublishing bool) *Caller {
	return &Caller{
		Identity: &authn.Identity{User: &user.DefaultInfo{Name: "system:serviceaccount:shop:orders"}, Namespace: "shop", ForPublishing: forPublishing},
		token:    "the-token",
	}
}

func TestRequire(t *testing.T) {
	unreachable := errors.New("connection refused")
	patch := Right{Verb: "patch", Resource: Webhooks, Namespace: "shop"}
	tests := []struct {
		name          string
		reviewer      fakeReviewer
		forPublishing bool
		right         Right
		want          error
	}{
		{"an allowed right", fakeReviewer{allowed: map[string]bool{"": true}}, false, patch, nil},
		{"a refused right names the role", fakeReviewer{}, false, patch, &Forbidden{"system:serviceaccount:shop:orders may not patch webhooks in namespace shop; the role bbmcp-editor gives that right"}},
		{
			"a refused right names the object", fakeReviewer{}, false, Right{Verb: "get", Resource: Deliveries, Namespace: "shop", Name: "dlv-1"},
			&Forbidden{`system:serviceaccount:shop:orders may not get webhookdeliveries "dlv-1" in namespace shop; the role bbmcp-delivery-viewer gives that right`},
		},
		{"a right without a role", fakeReviewer{}, false, Right{Verb: "get", Resource: Secrets, Namespace: "shop"}, &Forbidden{"system:serviceaccount:shop:orders may not get secrets in namespace shop"}},
		{"a change with a token for publishing", fakeReviewer{allowed: map[string]bool{"": true}}, true, patch, ErrAudienceTooNarrow},
		{"publishing with a token for publishing", fakeReviewer{allowed: map[string]bool{"": true}}, true, Right{Verb: VerbPublish, Resource: EventTypes}, nil},
		{"too many reviews", fakeReviewer{err: &authz.LimitError{Wait: time.Second}}, false, patch, &LimitExceeded{"system:serviceaccount:shop:orders asks for too many different rights; try again", time.Second}},
		{"an unreachable API server", fakeReviewer{err: unreachable}, false, patch, &Unavailable{"checking rights", unreachable}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := NewAuthorizer(&tt.reviewer).Require(t.Context(), newCaller(tt.forPublishing), tt.right)
			if !equalErrors(err, tt.want) {
				t.Errorf("got %T %v, want %T %v", err, err, tt.want, tt.want)
			}
		})
	}
}

// equalErrors compares type and text, and causes by identity.
func equalErrors(got, want error) bool {
	if got == nil || want == nil {
		return got == want //nolint:errorlint // both nil
	}
	return got.Error() == want.Error() && errors.Unwrap(got) == errors.Unwrap(want) //nolint:errorlint // the cause itself
}

func TestRefusalsOfExistingAndMissingObjectsAreAlike(t *testing.T) {
	var texts []string
	for _, name := range []string{"orders", "wh_of_no_webhook"} {
		reviewer := &fakeReviewer{}
		err := NewAuthorizer(reviewer).RequireOnObject(t.Context(), newCaller(false), Right{Verb: "get", Resource: Webhooks, Namespace: "shop", Name: name})
		if len(reviewer.names) != 2 || reviewer.names[0] != "" || reviewer.names[1] != name {
			t.Errorf("%s: reviews of %q", name, reviewer.names)
		}
		texts = append(texts, err.Error())
	}
	if texts[0] != texts[1] {
		t.Errorf("refusals differ: %q", texts)
	}
	narrow := NewAuthorizer(&fakeReviewer{allowed: map[string]bool{"orders": true}})
	if err := narrow.RequireOnObject(t.Context(), newCaller(false), Right{Verb: "get", Resource: Webhooks, Namespace: "shop", Name: "orders"}); err != nil {
		t.Errorf("a right to one object: %v", err)
	}
}

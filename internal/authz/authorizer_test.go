// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"

	"bbmcp.quietstack.com/webhooks/internal/authn"
)

// fakeReviews is an API server that allows what it is told to.
type fakeReviews struct {
	authorizationclient.SubjectAccessReviewInterface

	allow   bool
	failing int // so many more questions
	asked   []authorizationv1.SubjectAccessReviewSpec
}

func (f *fakeReviews) Create(_ context.Context, review *authorizationv1.SubjectAccessReview, _ metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error) {
	f.asked = append(f.asked, review.Spec)
	if f.failing > 0 {
		f.failing--
		return nil, errors.New("away")
	}
	review.Status.Allowed = f.allow
	return review, nil
}

func newIdentity(namespace, name string) *authn.Identity {
	identity := fmt.Sprintf("system:serviceaccount:%s:%s", namespace, name)
	return &authn.Identity{
		User:      &user.DefaultInfo{Name: identity, UID: "u", Groups: []string{"g"}, Extra: map[string][]string{"pod": {"p"}}},
		Namespace: namespace, Digest: sha256.Sum256([]byte(identity)),
	}
}

func publish(name string) Question {
	return Question{Verb: "publish", Group: "g", Version: "v1", Resource: "eventtypes", Namespace: "a", Name: name}
}

// fixture is an Authorizer whose time stands still.
type fixture struct {
	*fakeReviews
	*Authorizer

	t   *testing.T
	now time.Time
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{fakeReviews: &fakeReviews{allow: true}, t: t, now: time.Unix(1_700_000_000, 0)}
	f.Authorizer = newAuthorizer(f.fakeReviews, NewMetrics(prometheus.NewRegistry()), func() time.Time { return f.now })
	return f
}

func (f *fixture) want(what string, identity *authn.Identity, question Question, allowed bool, questions int) {
	f.t.Helper()
	before := len(f.asked)
	got, err := f.May(f.t.Context(), identity, question)
	if err != nil || got != allowed || len(f.asked)-before != questions {
		f.t.Errorf("%s: %t, %v after %d questions, want %t after %d", what, got, err, len(f.asked)-before, allowed, questions)
	}
}

func TestAnswersAreKept(t *testing.T) {
	f := newFixture(t)
	one := newIdentity("a", "one")
	f.want("the first time", one, publish("x"), true, 1)
	f.want("again", one, publish("x"), true, 0)
	f.want("another name", one, publish("y"), true, 1)
	another := publish("x")
	another.Namespace = "b"
	f.want("another namespace", one, another, true, 1)
	shifted := publish("x")
	shifted.Resource, shifted.Namespace = "eventtypesa", ""
	f.want("the same letters, elsewhere", one, shifted, true, 1)
	f.want("another caller", newIdentity("a", "two"), publish("x"), true, 1)
	f.allow = false
	f.now = f.now.Add(AnswerTTL - time.Second)
	f.want("before the minute is over", one, publish("x"), true, 0)
	f.now = f.now.Add(time.Second)
	f.want("after it", one, publish("x"), false, 1)
	f.want("refused", one, publish("x"), false, 0)
	f.allow = true
	f.now = f.now.Add(RefusalTTL)
	f.want("granted since", one, publish("x"), true, 1)
}

func TestTheQuestionIsAboutTheCaller(t *testing.T) {
	f := newFixture(t)
	f.want("a resource", newIdentity("a", "one"), publish("x"), true, 1)
	f.want("a path", newIdentity("a", "one"), Question{Verb: "get", Path: "/metrics"}, true, 1)
	for i, want := range []authorizationv1.SubjectAccessReviewSpec{
		{ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "publish", Group: "g", Version: "v1", Resource: "eventtypes", Namespace: "a", Name: "x"}},
		{NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: "/metrics", Verb: "get"}},
	} {
		want.User, want.UID, want.Groups = "system:serviceaccount:a:one", "u", []string{"g"}
		want.Extra = map[string]authorizationv1.ExtraValue{"pod": {"p"}}
		if got := f.asked[i]; got.String() != want.String() {
			t.Errorf("asked %s, want %s", &got, &want)
		}
	}
}

func TestAnAPIServerThatFails(t *testing.T) {
	f := newFixture(t)
	f.failing = 1
	f.want("once", newIdentity("a", "one"), publish("x"), true, 2)
	f.failing = 2
	if allowed, err := f.May(t.Context(), newIdentity("a", "one"), publish("y")); allowed || err == nil {
		t.Errorf("%t, %v", allowed, err)
	}
	f.want("nothing is kept of it", newIdentity("a", "one"), publish("y"), true, 1)
}

// ask asks different questions until there are too many.
func (f *fixture) exhaust(identity *authn.Identity) (answered int) {
	f.t.Helper()
	for n := range 10_000 {
		if _, err := f.May(f.t.Context(), identity, publish(fmt.Sprint("different", n))); err != nil {
			limited, ok := errors.AsType[*LimitError](err)
			if !ok || limited.Wait <= 0 {
				f.t.Errorf("got %v", err)
			}
			return n
		}
	}
	f.t.Fatal("there is no bound")
	return 0
}

func TestDifferentQuestionsAreBounded(t *testing.T) {
	f := newFixture(t)
	one, neighbour := newIdentity("a", "one"), newIdentity("a", "two")
	f.want("one that is kept", one, publish("x"), true, 1)
	if got := f.exhaust(one); got != callerBurst-1 {
		t.Errorf("%d questions of one caller were answered", got)
	}
	f.want("what memory can answer", one, publish("x"), true, 0)
	f.want("a neighbour", neighbour, publish("x"), true, 1)
	for n := range namespaceBurst / callerBurst {
		f.exhaust(newIdentity("a", fmt.Sprint("more", n)))
	}
	if _, err := f.May(t.Context(), newIdentity("a", "last"), publish("x")); err == nil {
		t.Error("the callers of one namespace have no bound")
	}
	f.want("of another namespace", newIdentity("b", "one"), publish("x"), true, 1)
	f.now = f.now.Add(10 * time.Second)
	f.want("a while later", one, publish("z"), true, 1)
	if got := testutil.ToFloat64(f.metrics.reviews.WithLabelValues(reviewLimited)); got < 3 {
		t.Errorf("the metric says %v", got)
	}
}

func TestNobodyPushesOutTheAnswersOfOthers(t *testing.T) {
	f := newFixture(t)
	f.want("the quiet one", newIdentity("b", "quiet"), publish("x"), true, 1)
	loud := newIdentity("a", "loud")
	for n := range 2 * maxAnswers {
		f.answers.Put(loud.User.GetName(), questionKey(loud, publish(fmt.Sprint(n))), true, AnswerTTL)
	}
	f.want("the quiet one", newIdentity("b", "quiet"), publish("x"), true, 0)
}

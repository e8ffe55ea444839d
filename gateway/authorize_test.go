// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// TestRightsAreLookedUpOnceASecond: one that was granted is not even looked up
// for a second, one that was refused always is.
func TestRightsAreLookedUpOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, answer := 0, authorizer.DecisionAllow
		g := &Gateway{
			granted: cache.NewLRUExpireCache(freshMost),
			authorizer: authorizer.AuthorizerFunc(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
				asked++
				return answer, "", nil
			}),
		}
		one := &caller{user: &user.DefaultInfo{Name: "one"}, token: "t1"}
		check := func(what string, who *caller, verb, namespace string, allowed bool, questions int) {
			t.Helper()
			before := asked
			err := g.permit(t.Context(), who, verb, resourceEventTypes, namespace, "")
			if (err == nil) != allowed || asked-before != questions {
				t.Errorf("%s: %v after %d questions, want allowed %v after %d", what, err, asked-before, allowed, questions)
			}
		}
		check("the first time", one, verbPublish, "a", true, 1)
		check("at once again", one, verbPublish, "a", true, 0)
		check("another verb", one, "list", "a", true, 1)
		check("another namespace", one, verbPublish, "b", true, 1)
		check("another token", &caller{user: one.user, token: "t2"}, verbPublish, "a", true, 1)
		answer = authorizer.DecisionDeny
		time.Sleep(freshTTL - time.Millisecond)
		check("before the second is over", one, verbPublish, "a", true, 0)
		time.Sleep(2 * time.Millisecond)
		check("after it", one, verbPublish, "a", false, 1)
		check("refused, and again", one, verbPublish, "a", false, 1)
		answer = authorizer.DecisionAllow
		check("granted since", one, verbPublish, "a", true, 1)
	})
}

// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// noteImpersonators tells who else can act as a key that was just made.
func (a *app) noteImpersonators(ctx context.Context, k *kubernetes, key *key) {
	others, err := k.impersonators(ctx)
	switch {
	case err != nil:
		a.printNote("who reads Secrets or takes tokens in namespace %s can act as this key; who that is cannot be told: %v", key.Namespace, err)
	case len(others) > 0:
		a.printNote("these read Secrets or take tokens of ServiceAccounts in namespace %s, so they can act as this key: %s", key.Namespace, strings.Join(others, ", "))
	}
}

// impersonators are the subjects of RoleBindings of the namespace that can get at
// tokens of its ServiceAccounts: "Group shop-team (edit)".
func (k *kubernetes) impersonators(ctx context.Context) ([]string, error) {
	bindings, err := k.rbac.RoleBindings(k.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list RoleBindings: %w", err)
	}
	known := map[rbacv1.RoleRef]bool{}
	var found []string
	for _, binding := range bindings.Items {
		takes, isKnown := known[binding.RoleRef]
		if !isKnown {
			if takes, err = k.roleTakesTokens(ctx, binding.RoleRef); err != nil {
				return nil, err
			}
			known[binding.RoleRef] = takes
		}
		for _, subject := range binding.Subjects {
			if takes {
				found = append(found, fmt.Sprintf("%s %s (%s)", subject.Kind, subject.Name, binding.RoleRef.Name))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// roleTakesTokens reports whether a role gets at tokens of ServiceAccounts.
func (k *kubernetes) roleTakesTokens(ctx context.Context, ref rbacv1.RoleRef) (bool, error) {
	var rules []rbacv1.PolicyRule
	if ref.Kind == "ClusterRole" {
		if slices.Contains([]string{"edit", "admin", "cluster-admin"}, ref.Name) { // of Kubernetes; not all may read ClusterRoles
			return true, nil
		}
		role, err := k.rbac.ClusterRoles().Get(ctx, ref.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read ClusterRole: %w", err)
		}
		rules = role.Rules
	} else {
		role, err := k.rbac.Roles(k.namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) { // a binding may outlive its role
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read Role: %w", err)
		}
		rules = role.Rules
	}
	return slices.ContainsFunc(rules, ruleTakesToken), nil
}

// ruleTakesToken reports whether a rule lets somebody read Secrets, ask for tokens, or
// act as a ServiceAccount without one. The answer to a patch is the whole object.
func ruleTakesToken(rule rbacv1.PolicyRule) bool {
	if !slices.Contains(rule.APIGroups, corev1.GroupName) && !slices.Contains(rule.APIGroups, rbacv1.APIGroupAll) {
		return false
	}
	for resource, verbs := range map[string][]string{
		"secrets": {"get", "list", "watch", "patch"}, "serviceaccounts/token": {"create"}, "serviceaccounts": {"impersonate"},
	} {
		about := slices.Contains(rule.Resources, resource) || slices.Contains(rule.Resources, rbacv1.ResourceAll)
		if about && slices.ContainsFunc(append(verbs, rbacv1.VerbAll), func(verb string) bool { return slices.Contains(rule.Verbs, verb) }) {
			return true
		}
	}
	return false
}

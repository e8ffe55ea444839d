// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Token is [NewToken] with all rights.
func (s *Stack) Token(ctx context.Context, namespace, name string, roles []string, audiences ...string) (string, error) {
	return NewToken(ctx, s.Client, namespace, name, roles, audiences...)
}

// NewToken makes a ServiceAccount with these ClusterRoles in a namespace, if it is
// not there yet, and returns a token of it. audiences as in a TokenRequest;
// none: the API server's own.
func NewToken(ctx context.Context, c client.Client, namespace, name string, roles []string, audiences ...string) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := c.Create(ctx, account); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("create service account %s/%s: %w", namespace, name, err)
	}
	for _, role := range roles {
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-" + role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: name}},
		}
		if err := c.Create(ctx, binding); err != nil && !apierrors.IsAlreadyExists(err) {
			return "", fmt.Errorf("bind %s/%s to %s: %w", namespace, name, role, err)
		}
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: audiences, ExpirationSeconds: new(int64(tokenTTL.Seconds())),
	}}
	account.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: name}
	if err := c.SubResource("token").Create(ctx, account, request); err != nil {
		return "", fmt.Errorf("get a token of %s/%s: %w", namespace, name, err)
	}
	return request.Status.Token, nil
}

// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// serviceAccountCheck finds out whether the controller manager gives namespaces their default ServiceAccount.
type serviceAccountCheck struct{ client kubernetes.Interface }

// newServiceAccountCheck deletes the default ServiceAccount of a namespace that nobody uses: in a folder that was used before
// it would be there whether or not the controller works. The controller makes it again.
func newServiceAccountCheck(ctx context.Context, admin *rest.Config) (serviceAccountCheck, error) {
	client, err := kubernetes.NewForConfig(admin)
	if err != nil {
		return serviceAccountCheck{}, err
	}
	err = client.CoreV1().ServiceAccounts(corev1.NamespaceNodeLease).Delete(ctx, metav1.NamespaceDefault, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return serviceAccountCheck{}, fmt.Errorf("check for default ServiceAccounts: %w", err)
	}
	return serviceAccountCheck{client: client}, nil
}

func (s serviceAccountCheck) run(ctx context.Context) error {
	for _, namespace := range []string{corev1.NamespaceNodeLease, metav1.NamespaceDefault} {
		if _, err := s.client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return err
		}
	}
	return nil
}

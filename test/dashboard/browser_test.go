// SPDX-License-Identifier: Apache-2.0

//go:build chromium

package dashboard

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// secretOf reads the signing secret of a webhook, as its owner would.
func secretOf(ctx context.Context, namespace, webhook string, into *string) error {
	var secret corev1.Secret
	if err := cluster.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: webhook + "-signing"}, &secret); err != nil {
		return fmt.Errorf("read the secret: %w", err)
	}
	*into = string(secret.Data[v1alpha1.SecretKey])
	return nil
}

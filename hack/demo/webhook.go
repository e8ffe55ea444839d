// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// applyWebhook applies examples/webhook.yaml with the receiver's URL and waits
// until it is Ready.
func (d *demo) applyWebhook(ctx context.Context) (*v1alpha1.Webhook, error) {
	text, err := os.ReadFile(filepath.Join(d.root, "examples/webhook.yaml"))
	if err != nil {
		return nil, err
	}
	var webhook v1alpha1.Webhook
	if err := yaml.UnmarshalStrict(text, &webhook); err != nil {
		return nil, fmt.Errorf("examples/webhook.yaml: %w", err)
	}
	webhook.Namespace = d.namespace
	webhook.Spec.URL = d.endpoint + hookPath
	if err := d.client.Create(ctx, &webhook); err != nil {
		return nil, fmt.Errorf("apply examples/webhook.yaml: %w", err)
	}
	err = wait.PollUntilContextTimeout(ctx, pollEvery, waitReady, true, func(context.Context) (bool, error) {
		err := d.client.Get(ctx, client.ObjectKeyFromObject(&webhook), &webhook)
		return meta.IsStatusConditionTrue(webhook.Status.Conditions, v1alpha1.ConditionReady), err
	})
	if err != nil {
		return nil, fmt.Errorf("wait for webhook %q to be Ready: %w", webhook.Name, err)
	}
	return &webhook, nil
}

// shareSecret does what a person does who sets up an endpoint: it reads the
// signing secret and gives it to the receiver.
func (d *demo) shareSecret(ctx context.Context, webhook *v1alpha1.Webhook) error {
	var secret corev1.Secret
	key := types.NamespacedName{Namespace: webhook.Namespace, Name: webhook.Status.Signing.SecretName}
	if err := d.client.Get(ctx, key, &secret); err != nil {
		return fmt.Errorf("read the signing secret: %w", err)
	}
	if err := d.tellReceiver(ctx, "_secrets", string(secret.Data[v1alpha1.SecretKey])); err != nil {
		return fmt.Errorf("give the secret to the receiver: %w", err)
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const (
	waitReady     = 30 * time.Second
	waitDelivered = 60 * time.Second
	pollEvery     = 50 * time.Millisecond
	hookPath      = "/hooks/bbmcp"
)

type demo struct {
	stack   *stack.Stack
	say     func(string)
	gateway *stack.Gateway
	token   string // of a ServiceAccount that may do everything here
	forget  func() error
}

// deliver applies the example Webhook, publishes the example events, waits until
// they arrived, prints the objects, and returns the line that sums it up.
func (d *demo) deliver(ctx context.Context) (string, error) {
	if err := d.start(ctx); err != nil {
		return "", err
	}
	endpoint, err := d.stack.StartReceiver(ctx)
	if err != nil {
		return "", err
	}
	if d.forget, err = d.writeEnvironment(ctx, endpoint); err != nil {
		return "", err
	}
	webhook, err := d.applyWebhook(ctx, endpoint+hookPath)
	if err != nil {
		return "", err
	}
	if err := d.shareSecret(ctx, webhook, endpoint); err != nil {
		return "", err
	}
	d.say("Webhook " + webhook.Name + " is Ready; the receiver at " + endpoint + " knows its secret")
	all, err := d.publish(ctx)
	if err != nil {
		return "", err
	}
	succeeded, err := d.waitFinished(ctx, webhook, all)
	if err != nil {
		return "", err
	}
	counts, err := received(ctx, endpoint)
	if err != nil {
		return "", err
	}
	if err := d.print(ctx); err != nil {
		return "", err
	}
	summary := fmt.Sprintf("demo: %d/%d deliveries succeeded, %d/%d signatures verified", succeeded, all, counts.Verified, all)
	if succeeded != all || counts.Verified != all {
		return "", errors.New(strings.TrimPrefix(summary, "demo: "))
	}
	return summary, nil
}

// start starts manager and gateway, each with its dispatcher, and makes a token.
func (d *demo) start(ctx context.Context) error {
	if _, err := d.stack.StartManager(ctx, stack.ManagerOptions{Supervise: true}); err != nil {
		return err
	}
	var err error
	if d.gateway, err = d.stack.StartGateway(ctx, stack.GatewayOptions{Supervise: true}); err != nil {
		return err
	}
	d.say("manager and gateway are ready, each with its dispatcher, each a process of its own")
	d.token, err = d.stack.Token(ctx, demoNamespace, "demo", demoRoles)
	return err
}

// applyWebhook applies examples/webhook.yaml with the receiver's URL and waits
// until it is Ready.
func (d *demo) applyWebhook(ctx context.Context, url string) (*v1alpha1.Webhook, error) {
	root, err := stack.Root(ctx)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, "examples/webhook.yaml"))
	if err != nil {
		return nil, err
	}
	var webhook v1alpha1.Webhook
	if err := yaml.UnmarshalStrict(text, &webhook); err != nil {
		return nil, fmt.Errorf("examples/webhook.yaml: %w", err)
	}
	if webhook.Namespace == "" {
		webhook.Namespace = demoNamespace
	}
	webhook.Spec.URL = url
	if err := d.stack.Client.Create(ctx, &webhook); err != nil {
		return nil, fmt.Errorf("apply examples/webhook.yaml: %w", err)
	}
	err = poll(ctx, waitReady, func() (bool, error) {
		err := d.stack.Client.Get(ctx, client.ObjectKeyFromObject(&webhook), &webhook)
		return meta.IsStatusConditionTrue(webhook.Status.Conditions, v1alpha1.ConditionReady), err
	})
	if err != nil {
		return nil, fmt.Errorf("wait for webhook %q to be Ready: %w", webhook.Name, err)
	}
	return &webhook, nil
}

// shareSecret does what a person does who sets up an endpoint: it reads the
// signing secret and gives it to the receiver.
func (d *demo) shareSecret(ctx context.Context, webhook *v1alpha1.Webhook, endpoint string) error {
	var secret corev1.Secret
	key := types.NamespacedName{Namespace: webhook.Namespace, Name: webhook.Status.Signing.SecretName}
	if err := d.stack.Client.Get(ctx, key, &secret); err != nil {
		return fmt.Errorf("read the signing secret: %w", err)
	}
	body := strings.NewReader(string(secret.Data[v1alpha1.SecretKey]))
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, endpoint+"/_secrets?path="+hookPath, body)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("give the secret to the receiver: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		return fmt.Errorf("give the secret to the receiver: %s", answer.Status)
	}
	return nil
}

// waitFinished waits until all deliveries have succeeded or failed.
func (d *demo) waitFinished(ctx context.Context, webhook *v1alpha1.Webhook, all int) (succeeded int, err error) {
	err = poll(ctx, waitDelivered, func() (bool, error) {
		var list v1alpha1.WebhookDeliveryList
		if err := d.stack.Client.List(ctx, &list, client.InNamespace(webhook.Namespace)); err != nil {
			return false, err
		}
		finished := 0
		succeeded = 0
		for i := range list.Items {
			switch list.Items[i].Status.State {
			case v1alpha1.DeliverySucceeded:
				succeeded++
				finished++
			case v1alpha1.DeliveryFailed:
				finished++
			}
		}
		return finished == all, nil
	})
	if err != nil {
		return 0, fmt.Errorf("wait for the deliveries: %w", err)
	}
	return succeeded, nil
}

// received asks the receiver what it counted.
func received(ctx context.Context, endpoint string) (receiver.Counts, error) {
	var said struct {
		Total receiver.Counts `json:"total"`
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/_received", nil)
	if err != nil {
		return said.Total, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return said.Total, fmt.Errorf("ask the receiver: %w", err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return said.Total, fmt.Errorf("ask the receiver: %w", err)
	}
	return said.Total, nil
}

func poll(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

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
)

const (
	waitReady     = 30 * time.Second
	waitDelivered = 60 * time.Second
	pollEvery     = 50 * time.Millisecond
	waitAnswer    = 30 * time.Second
	hookPath      = "/hooks/bbmcp"
)

// demo tells the story, wherever the product runs.
type demo struct {
	place  place
	root   string // of the tree
	say    func(string)
	forget func() error
	http   *http.Client

	installation
}

func newDemo(root string, say func(string)) *demo {
	return &demo{root: root, say: say, forget: func() error { return nil }, http: &http.Client{Timeout: waitAnswer}}
}

// deliver applies the example Webhook, publishes the example events, waits until
// they arrived, one of them at its second attempt, prints the objects, and returns
// the line that sums it up.
func (d *demo) deliver(ctx context.Context) (string, error) {
	var err error
	if d.installation, err = d.place.start(ctx); err != nil {
		return "", err
	}
	forget, err := d.writeEnvironment()
	if err != nil {
		return "", err
	}
	d.forget = forget
	webhook, err := d.applyWebhook(ctx)
	if err != nil {
		return "", err
	}
	if err := d.shareSecret(ctx, webhook); err != nil {
		return "", err
	}
	d.say("Webhook " + webhook.Name + " is Ready; the receiver at " + d.endpoint + " knows its secret")
	all, err := d.publish(ctx)
	if err != nil {
		return "", err
	}
	again, err := d.publishRefused(ctx)
	if err != nil {
		return "", err
	}
	all += again
	end, err := d.waitFinished(ctx, webhook, all)
	if err != nil {
		return "", err
	}
	counts, err := d.received(ctx)
	if err != nil {
		return "", err
	}
	if err := d.print(ctx); err != nil {
		return "", err
	}
	summary := fmt.Sprintf("demo: %d/%d deliveries succeeded, %d of them at the second attempt; %d/%d signatures verified",
		end.succeeded, all, end.retried, counts.Verified, counts.Posts)
	if end.succeeded != all || end.retried != again || counts.Verified != counts.Posts || counts.Posts < all+again {
		return "", errors.New(strings.TrimPrefix(summary, "demo: "))
	}
	return summary, nil
}

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
	err = poll(ctx, waitReady, func() (bool, error) {
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

// publishRefused publishes an event that the receiver refuses once: its delivery
// waits and is retried. It returns how many deliveries that became.
func (d *demo) publishRefused(ctx context.Context) (int, error) {
	fmt.Printf("$ curl -X PUT \"$ENDPOINT/_script?path=%s\" -d '500, 200'\n", hookPath)
	if err := d.tellReceiver(ctx, "_script", "500, 200"); err != nil {
		return 0, fmt.Errorf("make the receiver fail: %w", err)
	}
	deliveries, err := d.publishFile(ctx, filepath.Join(d.root, "examples/events/context.failed.json"))
	fmt.Println()
	return deliveries, err
}

// tellReceiver sets what the receiver does with posts of the webhook.
func (d *demo) tellReceiver(ctx context.Context, what, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, d.receiver+"/"+what+"?path="+hookPath, strings.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := d.http.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		return errors.New(answer.Status)
	}
	return nil
}

// ended counts deliveries.
type ended struct{ succeeded, retried int }

// waitFinished waits until all deliveries have succeeded or failed.
func (d *demo) waitFinished(ctx context.Context, webhook *v1alpha1.Webhook, all int) (end ended, err error) {
	err = poll(ctx, waitDelivered, func() (bool, error) {
		var list v1alpha1.WebhookDeliveryList
		if err := d.client.List(ctx, &list, client.InNamespace(webhook.Namespace)); err != nil {
			return false, err
		}
		finished := 0
		end = ended{}
		for i := range list.Items {
			switch list.Items[i].Status.State {
			case v1alpha1.DeliverySucceeded:
				end.succeeded++
				finished++
				if list.Items[i].Status.Attempts == 2 {
					end.retried++
				}
			case v1alpha1.DeliveryFailed:
				finished++
			}
		}
		return finished == all, nil
	})
	if err != nil {
		return end, fmt.Errorf("wait for the deliveries: %w", err)
	}
	return end, nil
}

// received asks the receiver what it counted.
func (d *demo) received(ctx context.Context) (receiver.Counts, error) {
	var said struct {
		Total receiver.Counts `json:"total"`
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.receiver+"/_received", nil)
	if err != nil {
		return said.Total, err
	}
	answer, err := d.http.Do(request)
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

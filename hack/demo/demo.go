// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
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

// run brings everything up, shows it, and takes it away again.
func (d *demo) run(ctx context.Context, once bool) (err error) {
	var summary string
	defer func() {
		d.say("stopping everything")
		err = errors.Join(err, d.place.stop(), d.forget())
		if err == nil && summary != "" {
			fmt.Println(summary)
		}
	}()
	if summary, err = d.deliverExamples(ctx); err != nil || once {
		err = ignoreInterrupt(ctx, err)
		if err != nil {
			d.place.explain(ctx)
		}
		return err
	}
	fmt.Println(summary)
	summary = ""
	d.printInvitation()
	<-ctx.Done()
	return nil
}

// deliverExamples applies the example Webhook, publishes the example events, waits until
// they arrived, one of them at its second attempt, prints the objects, and returns
// the line that sums it up.
func (d *demo) deliverExamples(ctx context.Context) (string, error) {
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
	all, err := d.publishExamples(ctx)
	if err != nil {
		return "", err
	}
	again, err := d.publishRefused(ctx)
	if err != nil {
		return "", err
	}
	all += again
	end, err := d.waitForDeliveries(ctx, webhook, all)
	if err != nil {
		return "", err
	}
	counts, err := d.readReceiverCounts(ctx)
	if err != nil {
		return "", err
	}
	if err := d.printObjects(ctx); err != nil {
		return "", err
	}
	summary := fmt.Sprintf("demo: %d/%d deliveries succeeded, %d of them at the second attempt; %d/%d signatures verified",
		end.succeeded, all, end.retried, counts.Verified, counts.Posts)
	if end.succeeded != all || end.retried != again || counts.Verified != counts.Posts || counts.Posts < all+again {
		return "", errors.New(strings.TrimPrefix(summary, "demo: "))
	}
	return summary, nil
}

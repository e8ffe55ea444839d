// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

const (
	// waitByDefault is for how long --wait waits if it does not say: an attempt takes
	// 30 s at most.
	waitByDefault = time.Minute
	// waitLook is the pause between two looks at a delivery.
	waitLook = 250 * time.Millisecond
	// waitUnknown is for how long a delivery may be unknown: one replica of the
	// gateway hears of what another has made within a second.
	waitUnknown = 5 * time.Second
)

// waitFlag is --wait.
type waitFlag struct{ max time.Duration }

func (w *waitFlag) addFlag(command *cobra.Command) {
	command.Flags().DurationVar(&w.max, "wait", 0, "wait until the attempt is over, for so long at most; --wait alone: "+waitByDefault.String())
	command.Flags().Lookup("wait").NoOptDefVal = waitByDefault.String()
}

func (w *waitFlag) isSet() bool { return w.max > 0 }

// awaitAttempts waits until each delivery has had one attempt more, prints them, and
// returns an error if one of those attempts failed or has not come.
func (a *app) awaitAttempts(ctx context.Context, c *client.Client, wait waitFlag, deliveries ...rest.Delivery) error {
	limited, cancel := context.WithTimeout(ctx, wait.max)
	defer cancel()
	var failed error
	after := make([]*rest.DeliveryDetail, 0, len(deliveries))
	for _, before := range deliveries {
		delivery, err := awaitAttempt(limited, c, before)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case limited.Err() != nil && delivery == nil:
			err = fmt.Errorf("%s: no attempt was over within %s; see: bbmcp deliveries get %[1]s --watch", before.DeliveryID, wait.max)
		case err == nil && delivery.Status != rest.DeliverySucceeded:
			err = fmt.Errorf("%s: the attempt failed: %s", delivery.DeliveryID, formatText(delivery.ErrorMessage))
		}
		if delivery != nil {
			after = append(after, delivery)
		}
		failed = errors.Join(failed, err)
	}
	if len(after) > 0 {
		if err := a.printAwaited(after); err != nil {
			return err
		}
	}
	return a.printAwaitErrors(failed)
}

func (a *app) printAwaited(deliveries []*rest.DeliveryDetail) error {
	if len(deliveries) == 1 {
		return a.printDelivery(deliveries[0])
	}
	list := make([]rest.DeliveryDetail, 0, len(deliveries))
	for _, delivery := range deliveries {
		list = append(list, *delivery)
	}
	return printList(a, deliveryDetailView(), list)
}

// printAwaitErrors tells each of several errors in a line of its own.
func (a *app) printAwaitErrors(err error) error {
	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	all := several.Unwrap()
	for _, one := range all[1:] {
		for _, line := range explainError(one) {
			a.printNote("bbmcp: %s", line)
		}
	}
	return all[0]
}

// awaitAttempt returns a delivery once it has had more attempts than before.
func awaitAttempt(ctx context.Context, c *client.Client, before rest.Delivery) (*rest.DeliveryDetail, error) {
	ticker := time.NewTicker(waitLook)
	defer ticker.Stop()
	unknown := time.After(waitUnknown)
	for {
		delivery, err := c.GetDelivery(ctx, before.DeliveryID)
		switch {
		case err == nil && delivery.Attempts > before.Attempts:
			return delivery, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case client.StatusOf(err) == http.StatusNotFound:
			select {
			case <-unknown:
				return nil, err
			default:
			}
		case err != nil && isPermanentWatchError(err):
			return nil, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

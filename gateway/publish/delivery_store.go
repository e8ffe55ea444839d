// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
)

const (
	// createTries and createPause bound the tries to create one delivery within a request: three, with a pause that
	// doubles.
	createTries = 3
	createPause = 100 * time.Millisecond
	// apiTimeout bounds one small request to the API server: a request that is accepted while the server starts hangs
	// until its own timeout.
	apiTimeout = 2 * time.Second
	// StoringDeliveries says what failed, in a problem.
	StoringDeliveries = "storing the deliveries"
)

// deliveryStore writes deliveries to the API server, with the gateway's own rights, and to the index of this replica.
type deliveryStore struct {
	client      client.Client
	index       *store.DeliveryIndex
	writes      *writeBudget
	timeouts    *writetimeout.Timeouts // of writes
	terminating *terminatingNamespaces // get no first attempts
	now         func() time.Time
}

// createDelivery stores a delivery with the gateway's own rights; the caller's right to publish was checked before. An
// equal delivery that exists is success; another object of its name is an EventIDTakenError. After a failure of the
// platform the delivery may exist all the same, and repeating with the same event id is safe.
func (s *deliveryStore) createDelivery(ctx context.Context, draft deliveryDraft) (*store.DeliveryEntry, error) {
	stored, err := s.create(ctx, draft.object(), draft.reservation)
	if err != nil {
		return nil, err
	}
	if !draft.matches(stored) {
		return nil, &EventIDTakenError{draft.eventID}
	}
	return s.addToIndex(stored), nil
}

// createRecord stores the object of an immediate success, which has paid for it.
func (s *deliveryStore) createRecord(ctx context.Context, object *v1alpha1.WebhookDelivery) error {
	stored, err := s.create(ctx, object, nil)
	if err == nil {
		s.addToIndex(stored)
	}
	return err
}

// addToIndex adds what the API server has stored to the index of this replica.
func (s *deliveryStore) addToIndex(stored *v1alpha1.WebhookDelivery) *store.DeliveryEntry {
	s.index.ApplyWrite(stored)
	return store.NewDeliveryEntry(stored, s.now())
}

// create returns what the API server holds under an object's name: the object, or what was there before. The
// write counts against the write budget of the namespace but is made in any case, as its event is admitted. The
// reserved bytes are spent, unless nothing is stored.
func (s *deliveryStore) create(ctx context.Context, object *v1alpha1.WebhookDelivery, reserved *byteReservation) (*v1alpha1.WebhookDelivery, error) {
	release, err := s.writes.beginWrite(ctx, object.Namespace, object.Spec.Payload)
	if err != nil {
		return nil, &UnavailableError{StoringDeliveries, err}
	}
	defer release()
	reserved.spend()
	mayBeStored := false // by a try that got no clear answer
	for try := 1; ; try++ {
		stored, existed, err := s.tryCreate(ctx, object)
		if err == nil {
			if existed && !mayBeStored {
				reserved.refund()
			}
			return stored, nil
		}
		mayBeStored = mayBeStored || !isRefusal(err)
		if try == createTries || !isTransientStoreError(err) || !sleepContext(ctx, createPause<<(try-1)) {
			if !mayBeStored {
				reserved.refund()
			}
			return nil, &CreateError{Cause: err, unstored: !mayBeStored}
		}
	}
}

// isRefusal reports whether the error of one try proves that the API server stored nothing.
func isRefusal(err error) bool {
	return denial.KindOf(err) != denial.None || apierrors.IsTooManyRequests(err)
}

// isKnownUnstored reports whether the error of a create proves that nothing was stored.
func isKnownUnstored(err error) bool {
	failed, ok := errors.AsType[*CreateError](err)
	return ok && failed.unstored
}

// tryCreate makes one try of create. existed says that an object of the name was there before.
func (s *deliveryStore) tryCreate(ctx context.Context, object *v1alpha1.WebhookDelivery) (stored *v1alpha1.WebhookDelivery, existed bool, err error) {
	stored = object.DeepCopy()
	err = s.timeouts.Do(ctx, object.Namespace, func(ctx context.Context) error { return s.client.Create(ctx, stored) })
	if denial.KindOf(err) == denial.Namespace && !apierrors.IsNotFound(err) {
		s.terminating.add(object.Namespace)
	}
	if !denial.IsAlreadyExists(err) {
		return stored, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stored = &v1alpha1.WebhookDelivery{}
	return stored, true, s.client.Get(ctx, client.ObjectKeyFromObject(object), stored)
}

// isTransientStoreError reports whether the next try may succeed. Not found means that the object which was in the way
// a moment ago is gone.
func isTransientStoreError(err error) bool {
	if denial.KindOf(err) != denial.None {
		return denial.KindOf(err) == denial.Broken
	}
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return true // the network, a timeout
	}
	code := status.Status().Code
	return code >= codeServerError || code == codeTooManyRequests || code == codeConflict || code == codeNotFound
}

// updateStatus writes the status of a delivery.
func (s *deliveryStore) updateStatus(delivery *v1alpha1.WebhookDelivery) error {
	return s.timeouts.Do(context.Background(), delivery.Namespace, func(ctx context.Context) error { return s.client.Status().Update(ctx, delivery) })
}

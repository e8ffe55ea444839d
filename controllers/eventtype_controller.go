// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/catalogue"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

// EventTypeReconciler writes whether each EventType is Ready: its schema must be valid,
// its example must satisfy it, and no older EventType may have the same type. It is
// the only writer of that status.
type EventTypeReconciler struct {
	Client client.Client
	Now    func() time.Time
}

// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=eventtypes,verbs=get;list;watch
// +kubebuilder:rbac:groups=bbmcp.quietstack.com,resources=eventtypes/status,verbs=update

// SetupWithManager registers the reconciler.
func (r *EventTypeReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("eventtype").
		For(&v1alpha1.EventType{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.EventType{}, handler.EnqueueRequestsFromMapFunc(r.duplicates),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{RateLimiter: newControllerRateLimiter(webhookRetryMax)}).
		Complete(r)
}

// Reconcile checks one EventType and writes its status if that changed.
func (r *EventTypeReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var eventType v1alpha1.EventType
	if err := r.Client.Get(ctx, req.NamespacedName, &eventType); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	older, err := r.olderDuplicate(ctx, &eventType)
	if err != nil {
		return reconcile.Result{}, err
	}
	status := eventType.Status.DeepCopy()
	status.ObservedGeneration = eventType.Generation
	status.Type = eventTypeName(&eventType)
	condition := readyCondition(&eventType, older)
	condition.LastTransitionTime = metav1.NewTime(r.Now())
	meta.SetStatusCondition(&status.Conditions, condition)
	if equality.Semantic.DeepEqual(status, &eventType.Status) {
		return reconcile.Result{}, nil
	}
	updated := eventType.DeepCopy()
	updated.Status = *status
	err = r.Client.Status().Update(ctx, updated)
	switch {
	case denial.IsConflict(err):
		return reconcile.Result{RequeueAfter: 50 * time.Millisecond}, nil
	case err != nil && !denial.IsNotFound(err):
		return reconcile.Result{}, fmt.Errorf("write status of eventtype %s: %w", eventType.Name, err)
	}
	return reconcile.Result{}, nil
}

// readyCondition is the condition Ready of one EventType; older is the name of an older one
// of the same type, or "".
func readyCondition(eventType *v1alpha1.EventType, older string) metav1.Condition {
	condition := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, ObservedGeneration: eventType.Generation,
	}
	err := catalogue.Check(eventType.Spec.Schema, eventType.Spec.Example)
	bad, _ := errors.AsType[*catalogue.Error](err)
	switch {
	case older != "":
		condition.Reason = v1alpha1.ReasonDuplicateType
		condition.Message = fmt.Sprintf("EventType %q is older and has the same type; delete one of them or set another spec.type", older)
	case bad != nil && bad.Field == catalogue.FieldSchema:
		condition.Reason, condition.Message = v1alpha1.ReasonSchemaInvalid, "spec.schema: "+text.Truncate(bad.Detail, 1000)
	case err != nil:
		condition.Reason, condition.Message = v1alpha1.ReasonExampleInvalid, "spec.example: "+text.Truncate(err.Error(), 1000)
		if bad != nil {
			condition.Message = "spec.example: " + text.Truncate(bad.Detail, 1000)
		}
	default:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionTrue, v1alpha1.ReasonRegistered, "events of this type can be published"
	}
	return condition
}

// olderDuplicate returns the name of the oldest other EventType of the same type if
// it is older than this one; of two created in the same second the name decides.
func (r *EventTypeReconciler) olderDuplicate(ctx context.Context, eventType *v1alpha1.EventType) (string, error) {
	var list v1alpha1.EventTypeList
	if err := r.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("list event types: %w", err)
	}
	first := eventType
	for i := range list.Items {
		if other := &list.Items[i]; eventTypeName(other) == eventTypeName(eventType) && isOlder(other, first) {
			first = other
		}
	}
	if first.UID == eventType.UID {
		return "", nil
	}
	return first.Name, nil
}

func isOlder(a, b *v1alpha1.EventType) bool {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.Name < b.Name
	}
	return a.CreationTimestamp.Before(&b.CreationTimestamp)
}

// duplicates are the other EventTypes of the same type, which may become Ready when this
// one changes or is deleted.
func (r *EventTypeReconciler) duplicates(ctx context.Context, object client.Object) []reconcile.Request {
	eventType, ok := object.(*v1alpha1.EventType)
	if !ok {
		return nil
	}
	var list v1alpha1.EventTypeList
	if err := r.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list event types after one changed")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if other := &list.Items[i]; other.Name != eventType.Name && eventTypeName(other) == eventTypeName(eventType) {
			requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Name: other.Name}})
		}
	}
	return requests
}

// eventTypeName is the event type that an EventType defines.
func eventTypeName(eventType *v1alpha1.EventType) string {
	if eventType.Spec.Type != "" {
		return eventType.Spec.Type
	}
	return eventType.Name
}

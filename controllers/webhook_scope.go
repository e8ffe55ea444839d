// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/match"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// webhookScope is all that a pass over one Webhook depends on.
type webhookScope struct {
	webhook        *v1alpha1.Webhook
	now            time.Time
	enabled        bool // an enable request or a change of endpoint is handled in this pass
	endpointMoved  bool // of these, a change of endpoint
	rotated        bool // a rotation request is handled in this pass
	secrets        signingsecret.Secrets
	signingProblem *signingsecret.Problem
	refusal        *secretRefusal       // of the API server, to store the generated Secret
	urlProblem     *dispatcher.URLError // the URL is refused
	urlChecked     bool                 // the dispatcher answered
	unregistered   []string             // event types that are not in the catalogue
	unfinished     unfinished
	observed       observation
}

func (r *WebhookReconciler) gather(ctx context.Context, webhook *v1alpha1.Webhook) (*webhookScope, error) {
	s := &webhookScope{webhook: webhook, now: r.Now()}
	s.endpointMoved = endpointChanged(webhook)
	s.enabled = enableRequested(webhook) || s.endpointMoved
	if err := r.ensureSecret(ctx, s); err != nil {
		return nil, err
	}
	if err := r.checkURL(ctx, s); err != nil {
		return nil, err
	}
	var err error
	if s.unregistered, err = r.unregisteredEventTypes(ctx, webhook); err != nil {
		return nil, err
	}
	if s.unfinished, err = r.readUnfinished(ctx, webhook); err != nil {
		return nil, err
	}
	s.observed = r.Observations.snapshot(webhook)
	return s, nil
}

func (r *WebhookReconciler) checkURL(ctx context.Context, s *webhookScope) error {
	err := r.Dispatcher.CheckURL(ctx, s.webhook.Spec.URL, r.Forbidden())
	if refused, ok := errors.AsType[*dispatcher.URLError](err); ok {
		s.urlProblem, s.urlChecked = refused, true
		return nil
	}
	if errors.Is(err, dispatcher.ErrUnavailable) {
		return nil
	}
	s.urlChecked = err == nil
	return err
}

// unregisteredEventTypes lists the event types in spec.events that are not in the catalogue.
func (r *WebhookReconciler) unregisteredEventTypes(ctx context.Context, webhook *v1alpha1.Webhook) ([]string, error) {
	var list v1alpha1.EventTypeList
	if err := r.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list event types: %w", err)
	}
	known := make(map[string]bool, len(list.Items))
	for i := range list.Items {
		known[eventTypeName(&list.Items[i])] = true
	}
	var missing []string
	for _, pattern := range webhook.Spec.Events {
		if !match.IsWildcard(pattern) && !known[pattern] {
			missing = append(missing, pattern)
		}
	}
	return missing, nil
}

// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/pem"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// webhookSeconds is how long the API server waits for an answer unless a rule
	// says otherwise: its own default.
	webhookSeconds = 10
	// installWait bounds the wait until the API server heeds a change, installPoll
	// is the pause between two looks.
	installWait = time.Minute
	installPoll = 50 * time.Millisecond
	// markerName is the object that is written, as a dry run, to find that out.
	markerName = "bbmcp-admission-marker"
)

// Rule says what the API server asks the server about.
type Rule struct {
	// Namespace is the only one that the rule holds for.
	Namespace string
	// Resources are as in the path, of any group: "secrets",
	// "webhookdeliveries/status". None: every one.
	Resources []string
	// Operations; none: create, update and delete.
	Operations []admissionregistrationv1.OperationType
	// Seconds is how long the API server waits; 0: 10.
	Seconds int32
	// Ignore lets through what the server does not answer. Without it, that fails.
	Ignore bool
}

// Install makes the API server ask and returns once it does. remove ends that, and
// returns once the API server asks no more.
func (s *ReviewServer) Install(ctx context.Context, c client.Client, rule Rule) (remove func(context.Context) error, err error) {
	configuration := s.installedConfiguration(rule)
	if err := c.Create(ctx, configuration); err != nil {
		return nil, fmt.Errorf("install admission webhook: %w", err)
	}
	remove = func(ctx context.Context) error {
		if err := client.IgnoreNotFound(c.Delete(ctx, configuration)); err != nil {
			return fmt.Errorf("remove admission webhook: %w", err)
		}
		return s.awaitInstalled(ctx, c, rule.Namespace, false)
	}
	return remove, s.awaitInstalled(ctx, c, rule.Namespace, true)
}

// installedConfiguration has a second webhook that the first one's verdicts do not matter
// to: by that it is seen whether the API server knows both.
func (s *ReviewServer) installedConfiguration(rule Rule) *admissionregistrationv1.ValidatingWebhookConfiguration {
	name := rule.Namespace + "." + s.Name()
	policy := admissionregistrationv1.Fail
	if rule.Ignore {
		policy = admissionregistrationv1.Ignore
	}
	if len(rule.Resources) == 0 {
		rule.Resources = []string{"*/*"}
	}
	if len(rule.Operations) == 0 {
		rule.Operations = []admissionregistrationv1.OperationType{
			admissionregistrationv1.Create, admissionregistrationv1.Update, admissionregistrationv1.Delete,
		}
	}
	if rule.Seconds == 0 {
		rule.Seconds = webhookSeconds
	}
	webhook := func(name, path string, rules admissionregistrationv1.RuleWithOperations, policy admissionregistrationv1.FailurePolicyType) admissionregistrationv1.ValidatingWebhook {
		return admissionregistrationv1.ValidatingWebhook{
			Name: name,
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL: new(s.server.URL + path), CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw}),
			},
			Rules:                   []admissionregistrationv1.RuleWithOperations{rules},
			FailurePolicy:           &policy,
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
			TimeoutSeconds:          &rule.Seconds,
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: rule.Namespace}},
		}
	}
	asked := admissionregistrationv1.RuleWithOperations{Operations: rule.Operations, Rule: admissionregistrationv1.Rule{
		APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: rule.Resources,
	}}
	marker := admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}
	marking := webhook("marker."+name, markerPath, marker, admissionregistrationv1.Ignore)
	marking.MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "marker", Expression: fmt.Sprintf("object.metadata.name == %q", markerName)}}
	reviewed := webhook(s.Name(), reviewPath, asked, policy)
	reviewed.MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "others", Expression: fmt.Sprintf("!has(request.name) || request.name != %q", markerName)}}
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks:   []admissionregistrationv1.ValidatingWebhook{marking, reviewed},
	}
}

// awaitInstalled waits until the API server asks about the marker, or does so no more.
func (s *ReviewServer) awaitInstalled(ctx context.Context, c client.Client, namespace string, asks bool) error {
	err := wait.PollUntilContextTimeout(ctx, installPoll, installWait, true, func(ctx context.Context) (bool, error) {
		before := s.markers.Load()
		marker := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: markerName}}
		err := c.Create(ctx, marker, client.DryRunAll)
		if apierrors.IsNotFound(err) && !asks { // the namespace is gone
			return true, nil
		}
		if err != nil {
			return false, err
		}
		return (s.markers.Load() > before) == asks, nil
	})
	if err != nil {
		return fmt.Errorf("wait until the API server heeds the admission webhook: %w", err)
	}
	return nil
}

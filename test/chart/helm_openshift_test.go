// SPDX-License-Identifier: Apache-2.0

//go:build helm

package chart

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// assignedIDs refuses Pods that ask for a user or groups of their own choice, as
// OpenShift's security context constraint restricted-v2 does.
const assignedIDs = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: assigned-ids}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  variables:
  - name: contexts
    expression: >-
      (object.spec.containers + object.spec.?initContainers.orValue([])).map(c, c.?securityContext)
  validations:
  - expression: >-
      !has(object.spec.securityContext) || !has(object.spec.securityContext.runAsUser) &&
      !has(object.spec.securityContext.runAsGroup) && !has(object.spec.securityContext.fsGroup) &&
      !has(object.spec.securityContext.supplementalGroups)
    message: runAsUser, runAsGroup and fsGroup are assigned here
  - expression: variables.contexts.all(c, !c.?runAsUser.hasValue() && !c.?runAsGroup.hasValue())
    message: runAsUser and runAsGroup of containers are assigned here
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: assigned-ids}
spec: {policyName: assigned-ids, validationActions: [Deny], matchResources: {namespaceSelector: {}}}
`

// constraints has the API server serve OpenShift's API group.
const constraints = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: securitycontextconstraints.security.openshift.io}
spec:
  group: security.openshift.io
  names: {kind: SecurityContextConstraints, listKind: SecurityContextConstraintsList, plural: securitycontextconstraints, singular: securitycontextconstraint}
  scope: Cluster
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`

// A cluster that assigns ids takes the chart by itself where it serves OpenShift's
// API, and with the documented value where it does not.
func TestHelmInstallsWhereTheClusterAssignsIDs(t *testing.T) {
	c := newCluster(t)
	c.restrict(t)
	helm := binaryOf(t, "helm4")
	upgrade := func(flags ...string) {
		c.run(t, nil, helm, append([]string{"upgrade", "--install", "bbmcp", filepath.Join(root, Folder), "--namespace=" + namespace}, flags...)...)
	}
	c.run(t, []byte(assignedIDs), "kubectl", "apply", "-f", "-")

	upgrade()
	if err := eventually(t.Context(), func() bool { return c.tryPod(t, "manager") != nil }); err != nil {
		t.Fatal("ids that the chart has fixed are taken: the policy never takes effect")
	}
	for _, role := range []string{"manager", "gateway"} {
		if err := c.tryPod(t, role); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "are assigned here") {
			t.Errorf("Pod of the %s with the default values: %v, want it refused for its ids", role, err)
		}
	}
	upgrade("--set=compatibility.openshift.adaptSecurityContext=force")
	c.admitsPods(t)

	c.run(t, []byte(constraints), "kubectl", "apply", "-f", "-")
	c.run(t, nil, "kubectl", "wait", "--for=condition=Established", "crd/securitycontextconstraints.security.openshift.io", "--timeout=30s")
	upgrade("--reset-values")
	c.admitsPods(t)
	upgrade("--set=compatibility.openshift.adaptSecurityContext=disabled")
	if err := c.tryPod(t, "manager"); !apierrors.IsInvalid(err) {
		t.Errorf("ids are not fixed though that was asked for: %v", err)
	}
}

// tryPod asks the API server about a Pod of a Deployment.
func (c *cluster) tryPod(t *testing.T, role string) error {
	t.Helper()
	template := c.deployment(t, role).Spec.Template
	return c.client.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role, Labels: template.Labels}, Spec: template.Spec,
	}, client.DryRunAll)
}

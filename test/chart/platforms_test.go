// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// Helm refuses a cluster that is older than what the CRDs and policies need.
func TestTheChartSaysWhichKubernetesItNeeds(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, Folder, "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var chart struct{ KubeVersion string }
	if err := yaml.Unmarshal(text, &chart); err != nil {
		t.Fatal(err)
	}
	if chart.KubeVersion != ">=1.31.0-0" {
		t.Errorf("kubeVersion %q: fields by which objects are selected are there since 1.31", chart.KubeVersion)
	}
}

// OpenShift assigns user and groups, and refuses fixed ones.
func TestFixedIDsAreLeftOutWhereTheClusterAssignsThem(t *testing.T) {
	const openshift = "security.openshift.io/v1"
	for _, c := range []struct {
		adapt string
		apis  []string
		fixed bool
	}{
		{"", nil, true}, {"", []string{openshift}, false}, {"auto", []string{openshift}, false},
		{"force", nil, false}, {"disabled", []string{openshift}, true},
	} {
		values := ""
		if c.adapt != "" {
			values = "{compatibility: {openshift: {adaptSecurityContext: " + c.adapt + "}}}"
		}
		for _, deployment := range ofKind[appsv1.Deployment](t, render(t, values, Release{APIVersions: c.apis}).Objects, "Deployment") {
			context := deployment.Spec.Template.Spec.SecurityContext
			fixed := []bool{context.RunAsUser != nil, context.RunAsGroup != nil, context.FSGroup != nil}
			if want := []bool{c.fixed, c.fixed, c.fixed}; !slices.Equal(fixed, want) || !*context.RunAsNonRoot || context.SeccompProfile == nil {
				t.Errorf("%s with %q, %q served: %v", deployment.Name, c.adapt, c.apis, context)
			}
		}
	}
}

func TestPodsRunOnLinuxAndHoldNoNode(t *testing.T) {
	for values, want := range map[string]int{"": 1, "{manager: {nodeSelector: {disk: ssd}}, gateway: {nodeSelector: {disk: ssd}}}": 2} {
		for _, deployment := range ofKind[appsv1.Deployment](t, render(t, values, Release{}).Objects, "Deployment") {
			pod := deployment.Spec.Template
			if pod.Spec.NodeSelector["kubernetes.io/os"] != "linux" || len(pod.Spec.NodeSelector) != want {
				t.Errorf("%s runs on %v", deployment.Name, pod.Spec.NodeSelector)
			}
			if pod.Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] != "true" {
				t.Errorf("%s holds its node: %v", deployment.Name, pod.Annotations)
			}
		}
	}
}

// With --reuse-values there are the values of the release before and no others:
// what is new since then has its default, what was set stays.
func TestReusedValuesTurnNothingOff(t *testing.T) {
	fresh := render(t, "{manager: {replicas: 3}}", Release{}).Objects
	for name, values := range map[string]string{
		"of a chart that had hardly any": "{manager: {replicas: 3}}",
		"of one that had some sections":  "{manager: {replicas: 3, resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 1Gi}}}, rbac: {create: true}, networkPolicy: {enabled: true}}",
	} {
		reused := render(t, values, Release{Reused: true})
		got := byKey(t, reused.Objects)
		for key, want := range byKey(t, fresh) {
			if got[key] == nil {
				t.Errorf("%s: %s is gone", name, key)
			} else if strings.HasPrefix(key, "Deployment") || strings.HasPrefix(key, "ValidatingAdmissionPolicy") {
				if wanted, found := yamlOf(t, want), yamlOf(t, got[key]); wanted != found {
					t.Errorf("%s: %s differs\n%s\nwant\n%s", name, key, found, wanted)
				}
			}
		}
	}
	off := render(t, "{policies: {deliveries: false}, rbac: {gatewaySigningSecrets: false}, manager: {resources: {requests: {cpu: 1}}}}", Release{Reused: true}).Objects
	for _, object := range off {
		if name := object.GetName(); name == "bbmcp-deliveries" || name == "bbmcp-gateway-signing" {
			t.Errorf("%s was turned off and is there", ObjectKey(object))
		}
	}
	if limits := podOf(t, off, "manager").Containers[0].Resources.Limits; len(limits) != 0 {
		t.Errorf("a limit that was taken away is back: %v", limits)
	}
}

// Templates share their values but not an order, so each gives them their defaults.
func TestEveryTemplateBeginsWithTheDefaults(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, Folder, "templates", "*.*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(file) != ".tpl" && !strings.Contains(string(text), `{{- include "bbmcp.values" . -}}`) {
			t.Errorf("%s does not include bbmcp.values", filepath.Base(file))
		}
	}
}

func yamlOf(t *testing.T, object map[string]any) string {
	t.Helper()
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

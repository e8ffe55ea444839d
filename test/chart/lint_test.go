// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// tokenPath is where clients look for a ServiceAccount's token.
const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// installations are ways to use the chart. Every rule below holds for each.
func installations() map[string]string {
	return map[string]string{
		"defaults":       "",
		"namespaces":     "{namespaces: [team-a, team-b, bbmcp-system, default]}",
		"other names":    "{fullnameOverride: hooks, manager: {serviceAccount: {create: false, name: mine}}}",
		"no user roles":  "{rbac: {userRoles: false}, crds: {install: false}, eventTypes: {install: false}}",
		"digest":         "{image: {repository: registry.example.com/hooks, digest: 'sha256:" + strings.Repeat("0123456789abcdef", 4) + "', pullSecrets: [{name: registry}]}}",
		"private":        "{dispatcher: {flags: {allow-cidr: [10.1.0.0/16, 10.2.3.4, 'fd00::1']}, caBundle: {configMapName: authorities}}}",
		"private secret": "{dispatcher: {caBundle: {secretName: authorities, key: bundle.pem}}}",
		"exposed": `{gateway: {tls: {secretName: cert}, service: {type: LoadBalancer, annotations: {a: b}}, autoscaling: {enabled: true},
			ingress: {enabled: true, className: nginx, hosts: [hooks.example.com], tls: [{hosts: [hooks.example.com], secretName: a}]},
			httpRoute: {enabled: true, parentRefs: [{name: public}], hostnames: [hooks.example.com]}}}`,
		"scheduled": `{manager: {nodeSelector: {a: b}, tolerations: [{operator: Exists}], affinity: {nodeAffinity: {}}, priorityClassName: high,
			topologySpread: {node: DoNotSchedule, zone: "Off"}, podLabels: {team: a}, podAnnotations: {a: b}, env: [{name: A, value: b}]}}`,
		"labelled":  "{commonLabels: {team: a}, commonAnnotations: {owner: b}}",
		"admission": "{admission: {httpsOnly: true, allowedHosts: [example.com, '*.example.com']}}",
		"trusting":  "{policies: {trusted: [{kind: ServiceAccount, namespace: velero, name: velero}], secrets: false}}",
		"scraped":   "{monitoring: {dashboard: true, interval: 30s, labels: {release: prometheus}, prometheus: {serviceAccountName: prometheus, namespace: monitoring}}}",
	}
}

// eachInstallation renders every one, where the Prometheus operator is and
// where it is not.
func eachInstallation(t *testing.T, check func(*testing.T, []*unstructured.Unstructured)) {
	t.Helper()
	for name, values := range installations() {
		for _, served := range [][]string{nil, {GroupVersion, monitoring}} {
			t.Run(name+" "+strings.Join(served, " "), func(t *testing.T) {
				check(t, render(t, values, Release{APIVersions: served}).Objects)
			})
		}
	}
}

func TestEveryPodIsConfined(t *testing.T) {
	eachInstallation(t, func(t *testing.T, all []*unstructured.Unstructured) {
		for _, deployment := range ofKind[appsv1.Deployment](t, all, "Deployment") {
			pod := deployment.Spec.Template.Spec
			if context := pod.SecurityContext; !*context.RunAsNonRoot || *context.RunAsUser == 0 || context.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("security context of %s: %s", deployment.Name, context)
			}
			if pod.HostNetwork || pod.HostPID || pod.HostIPC || *pod.EnableServiceLinks || *pod.AutomountServiceAccountToken {
				t.Errorf("%s sees more of its surroundings than it needs", deployment.Name)
			}
			for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
				context := container.SecurityContext
				if *context.AllowPrivilegeEscalation || !*context.ReadOnlyRootFilesystem || !slices.Equal(context.Capabilities.Drop, []corev1.Capability{"ALL"}) {
					t.Errorf("security context of %s in %s: %s", container.Name, deployment.Name, context)
				}
				if container.LivenessProbe == nil || container.ReadinessProbe == nil {
					t.Errorf("%s in %s lacks a probe", container.Name, deployment.Name)
				}
				requests, limits := container.Resources.Requests, container.Resources.Limits
				if requests.Cpu().IsZero() || requests.Memory().IsZero() || limits.Memory().IsZero() {
					t.Errorf("%s in %s lacks a request or the limit of memory", container.Name, deployment.Name)
				}
				if !regexp.MustCompile(`(:\d[A-Za-z0-9.-]*|@sha256:[0-9a-f]{64})$`).MatchString(container.Image) {
					t.Errorf("image %s of %s has no fixed tag or digest", container.Image, deployment.Name)
				}
			}
		}
	})
}

// The dispatcher mounts the socket and perhaps authorities, never the token.
func TestOnlyTheMainContainerHoldsTheToken(t *testing.T) {
	eachInstallation(t, func(t *testing.T, all []*unstructured.Unstructured) {
		for _, deployment := range ofKind[appsv1.Deployment](t, all, "Deployment") {
			pod := deployment.Spec.Template.Spec
			sidecar, main := pod.InitContainers[0], pod.Containers[0]
			if len(pod.InitContainers) != 1 || len(pod.Containers) != 1 || *sidecar.RestartPolicy != corev1.ContainerRestartPolicyAlways {
				t.Fatalf("%s: not one container with one native sidecar", deployment.Name)
			}
			for _, mount := range sidecar.VolumeMounts {
				if mount.Name != "socket" && mount.Name != "ca" {
					t.Errorf("the dispatcher in %s mounts %s", deployment.Name, mount.Name)
				}
			}
			if !slices.ContainsFunc(main.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "token" && m.MountPath == tokenPath && m.ReadOnly }) {
				t.Errorf("%s mounts no token", deployment.Name)
			}
			for _, volume := range pod.Volumes {
				known := volume.EmptyDir != nil || volume.Projected != nil && volume.Name == "token" ||
					volume.Name == "ca" && (volume.ConfigMap != nil || volume.Secret != nil) || volume.Name == "tls" && volume.Secret != nil
				if !known {
					t.Errorf("%s has the volume %s", deployment.Name, volume.Name)
				}
			}
		}
	})
}

// What chooses Pods finds those of one role; what chooses none is a mistake.
func TestSelectorsFindTheirPods(t *testing.T) {
	eachInstallation(t, func(t *testing.T, all []*unstructured.Unstructured) {
		pods := map[string]labels.Set{}
		selectors := map[string]map[string]string{}
		for _, d := range ofKind[appsv1.Deployment](t, all, "Deployment") {
			pods[d.Name] = d.Spec.Template.Labels
			selectors["Deployment "+d.Name] = d.Spec.Selector.MatchLabels
		}
		for _, p := range ofKind[policyv1.PodDisruptionBudget](t, all, "PodDisruptionBudget") {
			selectors["PodDisruptionBudget "+p.Name] = p.Spec.Selector.MatchLabels
		}
		for _, p := range ofKind[networkingv1.NetworkPolicy](t, all, "NetworkPolicy") {
			selectors["NetworkPolicy "+p.Name] = p.Spec.PodSelector.MatchLabels
		}
		for _, s := range ofKind[corev1.Service](t, all, "Service") {
			selectors["Service "+strings.TrimSuffix(s.Name, "-metrics")] = s.Spec.Selector
		}
		if len(pods) != 2 || len(selectors) < 7 {
			t.Fatalf("%d Deployments, %d selectors", len(pods), len(selectors))
		}
		for owner, selector := range selectors {
			for name, pod := range pods {
				if found := len(selector) > 0 && labels.SelectorFromSet(selector).Matches(pod); found != strings.HasSuffix(owner, " "+name) {
					t.Errorf("%s, which chooses %v, finds Pods of %s: %t", owner, selector, name, found)
				}
			}
		}
	})
}

// Every binding leads to a role that is there and to a ServiceAccount that runs;
// no rule has a wildcard.
func TestRolesAndBindingsAgree(t *testing.T) {
	eachInstallation(t, func(t *testing.T, all []*unstructured.Unstructured) {
		roles, accounts := map[string]bool{}, map[string]bool{}
		for _, object := range all {
			if kind := object.GetKind(); kind == "Role" || kind == "ClusterRole" {
				roles[ObjectKey(object)] = true
				for _, rule := range as[rbacv1.ClusterRole](t, object).Rules {
					if slices.Contains(slices.Concat(rule.Verbs, rule.Resources, rule.APIGroups), "*") {
						t.Errorf("%s has a wildcard: %v", ObjectKey(object), rule)
					}
				}
			}
		}
		for _, deployment := range ofKind[appsv1.Deployment](t, all, "Deployment") {
			accounts[deployment.Spec.Template.Spec.ServiceAccountName] = true
		}
		bindings := 0
		for _, object := range all {
			if kind := object.GetKind(); kind != "RoleBinding" && kind != "ClusterRoleBinding" {
				continue
			}
			bindings++
			binding := as[rbacv1.RoleBinding](t, object)
			namespace := ""
			if binding.RoleRef.Kind == "Role" {
				namespace = binding.Namespace
			}
			if key := binding.RoleRef.Kind + " " + namespace + "/" + binding.RoleRef.Name; !roles[key] {
				t.Errorf("%s leads to %s, which is not there", ObjectKey(object), key)
			}
			for _, subject := range binding.Subjects {
				isScraper := subject.Name == "prometheus" || strings.HasSuffix(binding.Name, "-scraper")
				if !accounts[subject.Name] && !isScraper {
					t.Errorf("%s is for %s, which runs nothing", ObjectKey(object), subject.Name)
				}
			}
		}
		if bindings < 6 {
			t.Errorf("%d bindings", bindings)
		}
	})
}

// Names fit, are used once, and everything namespaced says where it goes.
func TestObjectsAreNamedAndLabelled(t *testing.T) {
	clusterScoped := []string{
		"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "EventType", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
	}
	eachInstallation(t, func(t *testing.T, all []*unstructured.Unstructured) {
		seen := map[string]bool{}
		for _, object := range all {
			if seen[ObjectKey(object)] {
				t.Errorf("two of %s", ObjectKey(object))
			}
			seen[ObjectKey(object)] = true
			if (object.GetNamespace() == "") != slices.Contains(clusterScoped, object.GetKind()) {
				t.Errorf("namespace of %s", ObjectKey(object))
			}
			if len(object.GetName()) > 63 {
				t.Errorf("the name of %s is too long", ObjectKey(object))
			}
			if object.GetLabels()["helm.sh/chart"] == "" {
				t.Errorf("%s has labels %v", ObjectKey(object), object.GetLabels())
			}
		}
	})
}

func TestLongReleaseNamesAreCut(t *testing.T) {
	all := render(t, "", Release{Name: strings.Repeat("bbmcp-long-", 4) + "nam", APIVersions: []string{monitoring}}).Objects
	for _, object := range all {
		if len(object.GetName()) > 63 {
			t.Errorf("the name of %s is too long", ObjectKey(object))
		}
	}
}

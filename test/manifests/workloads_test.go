// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// tokenPath is where clients look for a ServiceAccount's token.
const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// roles are the processes with a Deployment of their own.
func roles() []string { return []string{"manager", "gateway"} }

func deployment(t *testing.T, role string) appsv1.Deployment {
	t.Helper()
	return load[appsv1.Deployment](t, filepath.Join(root, "config", role, "deployment.yaml"))[0]
}

func TestPodsAreConfined(t *testing.T) {
	for _, role := range roles() {
		pod := deployment(t, role).Spec.Template.Spec
		t.Run(role, func(t *testing.T) {
			if context := pod.SecurityContext; !*context.RunAsNonRoot || *context.RunAsUser == 0 || context.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("security context of the Pod: %s", context)
			}
			if pod.HostNetwork || pod.HostPID || pod.HostIPC || *pod.EnableServiceLinks {
				t.Error("the Pod sees more of its surroundings than it needs")
			}
			for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
				context := container.SecurityContext
				if *context.AllowPrivilegeEscalation || !*context.ReadOnlyRootFilesystem || !slices.Equal(context.Capabilities.Drop, []corev1.Capability{"ALL"}) {
					t.Errorf("security context of %s: %s", container.Name, context)
				}
				if container.LivenessProbe == nil || container.ReadinessProbe == nil {
					t.Errorf("%s lacks a probe", container.Name)
				}
				requests, limits := container.Resources.Requests, container.Resources.Limits
				if requests.Cpu().IsZero() || requests.Memory().IsZero() || limits.Memory().IsZero() {
					t.Errorf("%s lacks a request or the limit of memory", container.Name)
				}
				if limits.Cpu().Sign() != 0 {
					t.Errorf("%s has a limit of CPU, which holds attempts up while cores are idle", container.Name)
				}
				if container.Image != "bbmcp-webhooks" {
					t.Errorf("image %s is not the one that config/kustomization.yaml replaces", container.Image)
				}
			}
		})
	}
}

// Only the process that talks to the API server can read a token.
func TestTokenIsMountedOnce(t *testing.T) {
	for _, role := range roles() {
		pod := deployment(t, role).Spec.Template.Spec
		if *pod.AutomountServiceAccountToken {
			t.Errorf("%s: every container gets a token", role)
		}
		var holders []string
		for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
			for _, mount := range container.VolumeMounts {
				volume := pod.Volumes[slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })]
				switch {
				case volume.EmptyDir != nil: // the socket
				case volume.Projected != nil && mount.MountPath == tokenPath && mount.ReadOnly:
					holders = append(holders, container.Name)
				default:
					t.Errorf("%s: %s mounts %s at %s", role, container.Name, volume.Name, mount.MountPath)
				}
			}
		}
		if !slices.Equal(holders, []string{role}) {
			t.Errorf("%s: the token is mounted into %q", role, holders)
		}
	}
}

// The dispatcher starts before, and ends after, the process that it serves.
func TestDispatcherIsANativeSidecar(t *testing.T) {
	for _, role := range roles() {
		pod := deployment(t, role).Spec.Template.Spec
		if len(pod.InitContainers) != 1 || len(pod.Containers) != 1 {
			t.Fatalf("%s: %d init containers, %d containers", role, len(pod.InitContainers), len(pod.Containers))
		}
		sidecar := pod.InitContainers[0]
		if sidecar.RestartPolicy == nil || *sidecar.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			t.Errorf("%s: the init container would have to end", role)
		}
		if sidecar.StartupProbe == nil || sidecar.StartupProbe.HTTPGet.Path != "/readyz" {
			t.Errorf("%s: nobody waits until the dispatcher takes attempts", role)
		}
		if !slices.Equal(sidecar.Command, []string{"/dispatcher"}) || !slices.Equal(pod.Containers[0].Command, []string{"/bbmcp-webhooks"}) || pod.Containers[0].Args[0] != role {
			t.Errorf("%s: commands %q, %q %q", role, sidecar.Command, pod.Containers[0].Command, pod.Containers[0].Args)
		}
	}
}

// flagDefault is the default of a flag, from the reference.
func flagDefault(t *testing.T, command, flag string) string {
	t.Helper()
	_, section, _ := strings.Cut(string(read(t, filepath.Join(root, "docs/reference/flags.md"))), "\n## "+command+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	found := regexp.MustCompile(`(?m)^ +--?` + flag + `\b[^\n]*(?:\n    \t[^\n]*)?\(default "?([^")]*)"?\)$`).FindStringSubmatch(section)
	if found == nil {
		t.Fatalf("no default of %s --%s in docs/reference/flags.md", command, flag)
	}
	return found[1]
}

func durationDefault(t *testing.T, command, flag string) time.Duration {
	t.Helper()
	parsed, err := time.ParseDuration(flagDefault(t, command, flag))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// The kubelet kills what is left at the end of the grace period.
func TestGracePeriodsOutlastTheDrain(t *testing.T) {
	for role, flags := range map[string][]string{"manager": {"drain-grace"}, "gateway": {"drain-delay", "drain-grace"}} {
		needed := 5 * time.Second
		for _, flag := range flags {
			needed += durationDefault(t, "bbmcp-webhooks "+role, flag)
		}
		grace := time.Duration(*deployment(t, role).Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
		if grace < needed {
			t.Errorf("%s: %s, of which the drain takes up to %s", role, grace, needed)
		}
	}
}

// Ports are where the flags say, and probes and services lead to them.
func TestPortsAgree(t *testing.T) {
	for _, c := range []struct{ role, flag, port string }{
		{"manager", "probe-address", "probes"}, {"manager", "metrics-address", "metrics"},
		{"gateway", "address", "http"}, {"gateway", "metrics-address", "metrics"},
	} {
		address := flagDefault(t, "bbmcp-webhooks "+c.role, c.flag)
		for _, port := range deployment(t, c.role).Spec.Template.Spec.Containers[0].Ports {
			if port.Name == c.port && address != fmt.Sprintf(":%d", port.ContainerPort) {
				t.Errorf("%s: port %s is %d, --%s is %s", c.role, c.port, port.ContainerPort, c.flag, address)
			}
		}
	}
	for _, role := range roles() {
		pod := deployment(t, role).Spec.Template.Spec
		all := slices.Concat(pod.InitContainers, pod.Containers)
		for _, container := range all {
			for _, probe := range []*corev1.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
				if probe != nil && !hasPort(container, probe.HTTPGet.Port.StrVal) {
					t.Errorf("%s: %s has no port %s", role, container.Name, probe.HTTPGet.Port.StrVal)
				}
			}
		}
		policy := load[networkingv1.NetworkPolicy](t, filepath.Join(root, "config", role, "network.yaml"))[0]
		for _, port := range policy.Spec.Ingress[0].Ports {
			if !slices.ContainsFunc(all, func(c corev1.Container) bool { return hasPort(c, port.Port.StrVal) }) {
				t.Errorf("%s: the NetworkPolicy opens port %s, which is not there", role, port.Port.StrVal)
			}
		}
	}
	service := load[corev1.Service](t, filepath.Join(root, "config/gateway/service.yaml"))[0]
	if target := service.Spec.Ports[0].TargetPort.StrVal; !hasPort(deployment(t, "gateway").Spec.Template.Spec.Containers[0], target) {
		t.Errorf("the Service leads to port %s, which is not there", target)
	}
}

func hasPort(container corev1.Container, name string) bool {
	return slices.ContainsFunc(container.Ports, func(p corev1.ContainerPort) bool { return p.Name == name })
}

// What chooses Pods by label finds those of its own role and no others.
func TestSelectorsFindTheirPods(t *testing.T) {
	for _, role := range roles() {
		selectors := map[string]map[string]string{
			"Deployment":          deployment(t, role).Spec.Selector.MatchLabels,
			"PodDisruptionBudget": load[policyv1.PodDisruptionBudget](t, filepath.Join(root, "config", role, "disruption.yaml"))[0].Spec.Selector.MatchLabels,
			"NetworkPolicy":       load[networkingv1.NetworkPolicy](t, filepath.Join(root, "config", role, "network.yaml"))[0].Spec.PodSelector.MatchLabels,
		}
		for _, constraint := range deployment(t, role).Spec.Template.Spec.TopologySpreadConstraints {
			selectors["spread over "+constraint.TopologyKey] = constraint.LabelSelector.MatchLabels
		}
		if role == "gateway" {
			selectors["Service"] = load[corev1.Service](t, filepath.Join(root, "config/gateway/service.yaml"))[0].Spec.Selector
		}
		for kind, selector := range selectors {
			for _, other := range roles() {
				found := labels.SelectorFromSet(selector).Matches(labels.Set(deployment(t, other).Spec.Template.Labels))
				if len(selector) == 0 || found != (other == role) {
					t.Errorf("%s of %s: %v, finds Pods of %s: %v", kind, role, selector, other, found)
				}
			}
		}
	}
}

// Two replicas, one of which is always there: through roll-outs and drains.
func TestReplicasOutliveEachOther(t *testing.T) {
	for _, role := range roles() {
		spec := deployment(t, role).Spec
		if *spec.Replicas != 2 || spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0 || spec.Strategy.RollingUpdate.MaxSurge.IntValue() != 1 {
			t.Errorf("%s: %d replicas, %s", role, *spec.Replicas, spec.Strategy.RollingUpdate)
		}
		budget := load[policyv1.PodDisruptionBudget](t, filepath.Join(root, "config", role, "disruption.yaml"))[0]
		if budget.Spec.MaxUnavailable.IntValue() != 1 || *budget.Spec.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow {
			t.Errorf("%s: budget %v", role, budget.Spec)
		}
	}
}

func TestTheImageIsNamedOnceAndPinned(t *testing.T) {
	images := load[kustomization](t, filepath.Join(root, "config/kustomization.yaml"))[0].Images
	if len(images) != 1 || images[0].Name != "bbmcp-webhooks" || !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(images[0].NewTag) {
		t.Errorf("images %v", images)
	}
}

// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// programs are those of the reference, with the values that flags come from.
func programs() map[string]string {
	return map[string]string{"bbmcp-webhooks manager": "manager", "bbmcp-webhooks gateway": "gateway", "dispatcher": "dispatcher"}
}

// special are flags that the chart sets from other values, or not at all because
// only a process outside of a cluster needs them.
func special() map[string]string {
	return map[string]string{
		"manager help": "", "gateway help": "",
		"manager kubeconfig": "{manager: {extraArgs: [--kubeconfig=/x]}}", "gateway kubeconfig": "{gateway: {extraArgs: [--kubeconfig=/x]}}",
		"manager dispatcher-socket":  "{manager: {extraArgs: [--dispatcher-socket=/x]}}",
		"gateway dispatcher-socket":  "{gateway: {extraArgs: [--dispatcher-socket=/x]}}",
		"dispatcher socket":          "{dispatcher: {extraArgs: [--socket=/x]}}",
		"manager namespaces":         "{namespaces: [a, b]}",
		"gateway namespaces":         "{namespaces: [a, b]}",
		"manager metrics-address":    "{manager: {ports: {metrics: 9000}}}",
		"gateway metrics-address":    "{gateway: {ports: {metrics: 9000}}}",
		"manager probe-address":      "{manager: {ports: {probes: 9000}}}",
		"manager skipped-configmap":  "{fullnameOverride: other}",
		"gateway skipped-configmap":  "{fullnameOverride: other}",
		"gateway address":            "{gateway: {ports: {http: 9000}}}",
		"gateway tls-cert-file":      "{gateway: {tls: {secretName: a}}}",
		"gateway tls-key-file":       "{gateway: {tls: {secretName: a}}}",
		"manager metrics-cert-file":  "{monitoring: {tls: {secretName: a}}}",
		"manager metrics-key-file":   "{monitoring: {tls: {secretName: a}}}",
		"gateway metrics-cert-file":  "{monitoring: {tls: {secretName: a}}}",
		"gateway metrics-key-file":   "{monitoring: {tls: {secretName: a}}}",
		"dispatcher metrics-address": "{dispatcher: {ports: {sidecar: 9000}}}",
		"dispatcher ca-bundle":       "{dispatcher: {caBundle: {configMapName: a}}}",
	}
}

// example is a value of each kind of flag in values.yaml, and how it is passed.
func example(kind string) (value, passed string) {
	switch kind {
	case "":
		return "false", "false"
	case "int":
		return "33554433", "33554433" // a float would become 3.3554433e+07
	case "float":
		return "2.5", "2.5"
	case "duration":
		return "1m30s", "1m30s"
	case "strings":
		return "[a, b]", "a,b"
	case "range":
		return "[10.1.0.0/16, 'fd00::/8']", "10.1.0.0/16,fd00::/8"
	case "level":
		return "debug", "debug"
	default:
		return "a", "a"
	}
}

func TestEveryFlagIsReachable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/reference/flags.md"))
	if err != nil {
		t.Fatal(err)
	}
	long := regexp.MustCompile(`(?m)^ +(?:-\w, )?--?([a-z][a-z-]+)(?: (\w+))?(?: {2,}.*)?$`)
	specials, seen := special(), 0
	for title, program := range programs() {
		_, section, _ := strings.Cut(string(text), "\n## "+title+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		for _, found := range long.FindAllStringSubmatch(section, -1) {
			name, kind := found[1], found[2]
			if name == "log-level" {
				kind = "level"
			}
			seen++
			t.Run(program+" --"+name, func(t *testing.T) {
				values, isSpecial := specials[program+" "+name]
				delete(specials, program+" "+name)
				if isSpecial && values == "" {
					return
				}
				want := "--" + name + "="
				if !isSpecial {
					value, passed := example(kind)
					values, want = fmt.Sprintf("{%s: {flags: {%s: %s}}}", program, name, value), want+passed
				}
				for _, arguments := range argumentsOf(t, render(t, values, Release{}).Objects, program) {
					if !slices.ContainsFunc(arguments, func(a string) bool { return a == want || isSpecial && strings.HasPrefix(a, want) }) {
						t.Errorf("values %s make %q, without %s", values, arguments, want)
					}
				}
			})
		}
	}
	if seen < 45 {
		t.Errorf("%d flags in the reference, which has more", seen)
	}
	for name := range specials {
		t.Errorf("%s is not in the reference", name)
	}
}

// argumentsOf are those of a program in every Deployment that runs it.
func argumentsOf(t *testing.T, all []*unstructured.Unstructured, program string) [][]string {
	t.Helper()
	var found [][]string
	for _, deployment := range ofKind[appsv1.Deployment](t, all, "Deployment") {
		pod := deployment.Spec.Template.Spec
		for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
			if container.Name == program {
				found = append(found, container.Args)
			}
		}
	}
	want := 1
	if program == "dispatcher" {
		want = 2
	}
	if len(found) != want {
		t.Fatalf("%d containers %s, want %d", len(found), program, want)
	}
	return found
}

// What users add comes last, so it wins.
func TestExtraArgumentsComeLast(t *testing.T) {
	for _, program := range programs() {
		values := fmt.Sprintf("{%s: {flags: {log-level: debug}, extraArgs: [--log-level=warn]}}", program)
		for _, arguments := range argumentsOf(t, render(t, values, Release{}).Objects, program) {
			if len(arguments) < 2 || !slices.Equal(arguments[len(arguments)-2:], []string{"--log-level=debug", "--log-level=warn"}) {
				t.Errorf("%s: %q", program, arguments)
			}
		}
	}
}

// The kubelet kills what is left at the end of the grace period.
func TestGracePeriodFollowsTheDrain(t *testing.T) {
	for _, c := range []struct {
		values, role string
		want         int64
	}{
		{"", "manager", 60},
		{"", "gateway", 55},
		{"{manager: {flags: {drain-grace: 1m30s}}}", "manager", 110},
		{"{manager: {flags: {drain-grace: 90s}}}", "manager", 110},
		{"{manager: {flags: {drain-grace: 1h}}}", "manager", 3620},
		{"{gateway: {flags: {drain-delay: 15s, drain-grace: 1m}}}", "gateway", 85},
		{"{gateway: {flags: {drain-delay: 500ms, drain-grace: 10s}}}", "gateway", 21},
		{"{manager: {flags: {drain-grace: 90s}, terminationGracePeriodSeconds: 300}}", "manager", 300},
	} {
		deployment := as[appsv1.Deployment](t, find(t, render(t, c.values, Release{}).Objects, "Deployment bbmcp-system/bbmcp-"+c.role))
		if got := *deployment.Spec.Template.Spec.TerminationGracePeriodSeconds; got != c.want {
			t.Errorf("values %s: %s may take %d s, want %d", c.values, c.role, got, c.want)
		}
	}
}

// podOf is the Pod template of a role.
func podOf(t *testing.T, all []*unstructured.Unstructured, role string) corev1.PodSpec {
	t.Helper()
	return as[appsv1.Deployment](t, find(t, all, "Deployment bbmcp-system/bbmcp-"+role)).Spec.Template.Spec
}

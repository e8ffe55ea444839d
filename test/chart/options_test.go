// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rightsOf spells "verb resource" of rules.
func rightsOf(rules []rbacv1.PolicyRule) (all []string) {
	for _, rule := range rules {
		for _, verb := range rule.Verbs {
			for _, resource := range slices.Concat(rule.Resources, rule.NonResourceURLs) {
				all = append(all, verb+" "+resource)
			}
		}
	}
	slices.Sort(all)
	return all
}

// With namespaces no right over namespaced objects reaches beyond them, and
// none is lost.
func TestNamespacesTurnClusterRolesIntoRoles(t *testing.T) {
	everywhere := render(t, "{rbac: {userRoles: false}}", Release{}).Objects
	here := render(t, "{rbac: {userRoles: false}, namespaces: [team-a, team-b]}", Release{}).Objects
	outside := []string{"eventtypes", "eventtypes/status", "tokenreviews", "subjectaccessreviews", "/metrics", "/.well-known/openid-configuration", "/openid/v1/jwks"}
	for _, role := range ofKind[rbacv1.ClusterRole](t, here, "ClusterRole") {
		for _, right := range rightsOf(role.Rules) {
			if _, resource, _ := strings.Cut(right, " "); !slices.Contains(outside, resource) {
				t.Errorf("ClusterRole %s still gives %s", role.Name, right)
			}
		}
	}
	for _, role := range ofKind[rbacv1.ClusterRole](t, everywhere, "ClusterRole") {
		for _, namespace := range []string{"team-a", "team-b"} {
			var got []string
			for _, object := range here {
				inCluster := object.GetKind() == "ClusterRole" && object.GetName() == role.Name
				inNamespace := object.GetKind() == "Role" && object.GetName() == role.Name+"-namespaced" && object.GetNamespace() == namespace
				if inCluster || inNamespace {
					got = append(got, rightsOf(as[rbacv1.ClusterRole](t, object).Rules)...)
				}
			}
			slices.Sort(got)
			if want := rightsOf(role.Rules); !slices.Equal(got, want) {
				t.Errorf("%s in %s\n got %q\nwant %q", role.Name, namespace, got, want)
			}
		}
	}
	for _, role := range []string{"manager", "gateway"} {
		find(t, here, "RoleBinding team-a/bbmcp-"+role+"-namespaced")
		if args := podOf(t, here, role).Containers[0].Args; !slices.Contains(args, "--namespaces=team-a,team-b") {
			t.Errorf("%s: %q", role, args)
		}
	}
}

func TestAnotherReleaseHasOtherNames(t *testing.T) {
	all := render(t, "{crds: {install: false}, eventTypes: {install: false}, rbac: {userRoles: false}}", Release{Name: "hooks", Namespace: "tools"}).Objects
	for _, object := range all {
		if !strings.HasPrefix(object.GetName(), "hooks-bbmcp-") {
			t.Errorf("name of %s", ObjectKey(object))
		}
		if namespace := object.GetNamespace(); namespace != "" && namespace != "tools" && namespace != "default" {
			t.Errorf("namespace of %s", ObjectKey(object))
		}
		if text, _ := object.MarshalJSON(); strings.Contains(string(text), "bbmcp-system") {
			t.Errorf("%s speaks of bbmcp-system", ObjectKey(object))
		}
	}
}

func TestSwitchesRemoveWhatTheySay(t *testing.T) {
	for _, c := range []struct{ values, kind, name string }{
		{"{crds: {install: false}}", "CustomResourceDefinition", ""},
		{"{eventTypes: {install: false}}", "EventType", ""},
		{"{rbac: {create: false, userRoles: false}}", "ClusterRole", ""},
		{"{rbac: {create: false}}", "RoleBinding", ""},
		{"{rbac: {create: false}}", "ClusterRoleBinding", ""},
		{"{rbac: {userRoles: false}}", "ClusterRole", "bbmcp-editor"},
		{"{rbac: {gatewaySigningSecrets: false}}", "ClusterRole", "bbmcp-gateway-signing"},
		{"{rbac: {gatewaySigningSecrets: false}}", "ClusterRoleBinding", "bbmcp-gateway-signing"},
		{"{networkPolicy: {enabled: false}}", "NetworkPolicy", ""},
		{"{policies: {deliveries: false}}", "ValidatingAdmissionPolicy", "bbmcp-deliveries"},
		{"{policies: {deliveries: false}}", "ValidatingAdmissionPolicyBinding", "bbmcp-deliveries"},
		{"{policies: {status: false}}", "ValidatingAdmissionPolicy", "bbmcp-status"},
		{"{policies: {secrets: false}}", "ValidatingAdmissionPolicy", "bbmcp-secrets"},
		{"{policies: {serviceAccounts: false}}", "ValidatingAdmissionPolicy", "bbmcp-service-accounts"},
		{"{policies: {webhookUrls: false}}", "ValidatingAdmissionPolicy", "bbmcp-webhook-urls"},
		{"{policies: {deliveries: false, status: false, secrets: false, serviceAccounts: false, webhookUrls: false}}", "ValidatingAdmissionPolicyBinding", ""},
		{"{manager: {podDisruptionBudget: {enabled: false}}}", "PodDisruptionBudget", "bbmcp-manager"},
		{"{gateway: {podDisruptionBudget: {enabled: false}}}", "PodDisruptionBudget", "bbmcp-gateway"},
		{"{manager: {serviceAccount: {create: false}}}", "ServiceAccount", "bbmcp-manager"},
		{"{monitoring: {enabled: false}}", "ServiceMonitor", ""},
		{"{monitoring: {enabled: false}}", "PodMonitor", ""},
		{"{monitoring: {enabled: false}}", "PrometheusRule", ""},
		{"{monitoring: {alerts: false}}", "PrometheusRule", ""},
	} {
		count := func(values string) (n int) {
			for _, object := range render(t, values, Release{APIVersions: []string{GroupVersion, monitoring}}).Objects {
				if object.GetKind() == c.kind && (c.name == "" || object.GetName() == c.name) {
					n++
				}
			}
			return n
		}
		if count("") == 0 || count(c.values) != 0 {
			t.Errorf("%s: %d of %s %s, %d without", c.values, count(c.values), c.kind, c.name, count(""))
		}
	}
}

// Policies know our ServiceAccounts by the names that this release gives them, and
// who is trusted.
func TestPoliciesNameWhoPasses(t *testing.T) {
	all := render(t, `{manager: {serviceAccount: {name: mine}}, namespaces: [team-a], policies: {warnOnly: true, trusted: [
		{kind: User, name: "o'hara"}, {kind: ServiceAccount, namespace: velero, name: velero}, {kind: Group, name: admins}]}}`,
		Release{Name: "hooks", Namespace: "tools"}).Objects
	policies := ofKind[admissionv1.ValidatingAdmissionPolicy](t, all, "ValidatingAdmissionPolicy")
	if len(policies) != 5 {
		t.Fatalf("%d policies", len(policies))
	}
	for _, policy := range policies {
		text := ""
		for _, condition := range policy.Spec.MatchConditions {
			text += condition.Expression
		}
		for part, in := range map[string]string{
			`"system:serviceaccount:tools:mine"`:                           "deliveries status service-accounts",
			`"system:serviceaccount:tools:hooks-bbmcp-gateway"`:            "deliveries status service-accounts",
			`username in ["o'hara","system:serviceaccount:velero:velero"]`: "deliveries status",
			`groups.orValue([]).exists(group, group in ["admins"])`:        "deliveries status",
			`object.metadata.name.startsWith("bbmcp-key-")`:                "secrets",
		} {
			name := strings.TrimPrefix(policy.Name, "hooks-bbmcp-")
			if got := strings.Contains(text, part); got != slices.Contains(strings.Fields(in), name) {
				t.Errorf("%s says %s: %t", policy.Name, part, got)
			}
		}
		if strings.Contains(text, "system:masters") || strings.Contains(text, "bbmcp-system") {
			t.Errorf("%s: %s", policy.Name, text)
		}
	}
	for _, binding := range ofKind[admissionv1.ValidatingAdmissionPolicyBinding](t, all, "ValidatingAdmissionPolicyBinding") {
		if binding.Spec.PolicyName != binding.Name || !slices.Equal(binding.Spec.ValidationActions, []admissionv1.ValidationAction{"Warn", "Audit"}) {
			t.Errorf("%s: %v", binding.Name, binding.Spec)
		}
		if in := binding.Spec.MatchResources.NamespaceSelector.MatchExpressions[0].Values; !slices.Equal(in, []string{"team-a"}) {
			t.Errorf("%s is bound in %q", binding.Name, in)
		}
	}
}

func TestKeepPolicies(t *testing.T) {
	policy := func(values, kind string) (all []string) {
		for _, object := range render(t, values, Release{}).Objects {
			if object.GetKind() == kind {
				all = append(all, object.GetAnnotations()["helm.sh/resource-policy"])
			}
		}
		return all
	}
	if got := policy("", "CustomResourceDefinition"); !slices.Equal(got, []string{"keep", "keep", "keep"}) {
		t.Errorf("CRDs: %q", got)
	}
	if got := policy("{crds: {keep: false}}", "CustomResourceDefinition"); !slices.Equal(got, []string{"", "", ""}) {
		t.Errorf("CRDs with keep off: %q", got)
	}
	if got := policy("", "EventType"); !slices.Equal(got, []string{"keep", "keep", "keep", "keep"}) {
		t.Errorf("event types: %q", got)
	}
}

// Event types are a hook only while the API server does not know their kind.
func TestEventTypesAreAHookTheFirstTime(t *testing.T) {
	for _, c := range []struct {
		served []string
		hook   string
	}{{nil, "post-install,post-upgrade"}, {[]string{GroupVersion}, ""}} {
		types := 0
		for _, object := range render(t, "", Release{APIVersions: c.served}).Objects {
			if object.GetKind() != "EventType" {
				continue
			}
			types++
			if got := object.GetAnnotations()["helm.sh/hook"]; got != c.hook {
				t.Errorf("%s is a hook %q, want %q", ObjectKey(object), got, c.hook)
			}
		}
		if types != 4 {
			t.Errorf("%d event types", types)
		}
	}
}

func TestAutoscalingTakesTheReplicas(t *testing.T) {
	all := render(t, "{gateway: {replicas: 5, autoscaling: {enabled: true, minReplicas: 3}}}", Release{}).Objects
	if got := as[appsv1.Deployment](t, find(t, all, "Deployment bbmcp-system/bbmcp-gateway")).Spec.Replicas; got != nil {
		t.Errorf("the Deployment still says %d", *got)
	}
	scaler := as[autoscalingv2.HorizontalPodAutoscaler](t, find(t, all, "HorizontalPodAutoscaler bbmcp-system/bbmcp-gateway"))
	if *scaler.Spec.MinReplicas != 3 || scaler.Spec.MaxReplicas != 10 || scaler.Spec.ScaleTargetRef.Name != "bbmcp-gateway" {
		t.Errorf("%v", scaler.Spec)
	}
}

func TestTLSReachesProbesServiceAndIngress(t *testing.T) {
	all := render(t, `{gateway: {tls: {secretName: cert}, ingress: {enabled: true, hosts: [hooks.example.com]},
		httpRoute: {enabled: true, parentRefs: [{name: public}]}}}`, Release{}).Objects
	container := podOf(t, all, "gateway").Containers[0]
	if container.ReadinessProbe.HTTPGet.Scheme != corev1.URISchemeHTTPS || container.LivenessProbe.HTTPGet.Scheme != corev1.URISchemeHTTPS {
		t.Error("probes speak http")
	}
	port := as[corev1.Service](t, find(t, all, "Service bbmcp-system/bbmcp-gateway")).Spec.Ports[0]
	if port.Port != 443 || *port.AppProtocol != "https" {
		t.Errorf("Service: %v", port)
	}
	ingress := as[networkingv1.Ingress](t, find(t, all, "Ingress bbmcp-system/bbmcp-gateway"))
	if backend := ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service; backend.Name != "bbmcp-gateway" || backend.Port.Number != 443 {
		t.Errorf("Ingress: %v", backend)
	}
	rules, _, _ := unstructured.NestedSlice(find(t, all, "HTTPRoute bbmcp-system/bbmcp-gateway").Object, "spec", "rules")
	backends, _, _ := unstructured.NestedSlice(rules[0].(map[string]any), "backendRefs")
	if backend := backends[0].(map[string]any); backend["name"] != "bbmcp-gateway" || backend["port"] != float64(443) && backend["port"] != int64(443) {
		t.Errorf("HTTPRoute: %v", backend)
	}
}

func TestPrivateEndpointsPassTheNetworkPolicy(t *testing.T) {
	all := render(t, "{dispatcher: {flags: {allow-cidr: [10.1.0.0/16, 10.2.3.4, 'fd00::1']}}}", Release{}).Objects
	for _, policy := range ofKind[networkingv1.NetworkPolicy](t, all, "NetworkPolicy") {
		var ranges []string
		for _, to := range policy.Spec.Egress[2].To {
			ranges = append(ranges, to.IPBlock.CIDR)
		}
		if want := []string{"0.0.0.0/0", "::/0", "10.1.0.0/16", "10.2.3.4/32", "fd00::1/128"}; !slices.Equal(ranges, want) {
			t.Errorf("%s: %q", policy.Name, ranges)
		}
	}
}

// Without the right to read signing Secrets there is nothing to sign first
// attempts with, and without first attempts no use for the right.
func TestFirstAttemptsGoWithTheRightToSign(t *testing.T) {
	for values, want := range map[string]bool{"": true, "{rbac: {gatewaySigningSecrets: true}}": true, "{rbac: {gatewaySigningSecrets: false}}": false} {
		all := render(t, values, Release{}).Objects
		var right bool
		for _, role := range ofKind[rbacv1.ClusterRole](t, all, "ClusterRole") {
			right = right || role.Name == "bbmcp-gateway-signing"
		}
		attempts := !slices.Contains(podOf(t, all, "gateway").Containers[0].Args, "--first-attempt-wait=0")
		if right != want || attempts != want {
			t.Errorf("values %s: right %t, first attempts %t, want %t", values, right, attempts, want)
		}
	}
}

func TestTracesGoToTheCollector(t *testing.T) {
	const variable = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, c := range []struct {
		values, endpoint string
		port             int32
	}{
		{"", "", 0},
		{"{tracing: {endpoint: 'http://collector.observability:4317'}}", "http://collector.observability:4317", 4317},
		{"{tracing: {endpoint: 'https://traces.example.com/otlp', protocol: http/protobuf}}", "https://traces.example.com/otlp", 443},
		{"{tracing: {endpoint: 'http://[fd00::1]:4318/'}}", "http://[fd00::1]:4318/", 4318},
	} {
		all := render(t, c.values, Release{}).Objects
		for _, role := range []string{"manager", "gateway"} {
			pod := podOf(t, all, role)
			if got := envOf(pod.Containers[0].Env, variable); got != c.endpoint {
				t.Errorf("%s: %s has %s=%q", c.values, role, variable, got)
			}
			if got := envOf(pod.InitContainers[0].Env, variable); got != "" {
				t.Errorf("%s: the dispatcher of the %s has %s=%q", c.values, role, variable, got)
			}
		}
		for _, policy := range ofKind[networkingv1.NetworkPolicy](t, all, "NetworkPolicy") {
			var port int32
			if rules := policy.Spec.Egress; len(rules) > 3 {
				port = rules[3].Ports[0].Port.IntVal
			}
			if port != c.port {
				t.Errorf("%s: %s opens port %d", c.values, policy.Name, port)
			}
		}
	}
}

func envOf(env []corev1.EnvVar, name string) string {
	for _, variable := range env {
		if variable.Name == name {
			return variable.Value
		}
	}
	return ""
}

func TestBudgetsTakeNumbersAndPercent(t *testing.T) {
	for value, want := range map[string]string{"0": "0", "2": "2", "50%": "50%"} {
		all := render(t, "{manager: {podDisruptionBudget: {maxUnavailable: "+value+"}}}", Release{}).Objects
		budget := as[policyv1.PodDisruptionBudget](t, find(t, all, "PodDisruptionBudget bbmcp-system/bbmcp-manager"))
		if got := budget.Spec.MaxUnavailable.String(); got != want {
			t.Errorf("maxUnavailable %s became %s", value, got)
		}
	}
}

// ServiceMonitors find the Services that are made for them.
func TestMonitorsFindWhatTheyScrape(t *testing.T) {
	all := render(t, "", Release{APIVersions: []string{monitoring}}).Objects
	for _, role := range []string{"manager", "gateway"} {
		selector, _, _ := unstructured.NestedStringMap(find(t, all, "ServiceMonitor bbmcp-system/bbmcp-"+role).Object, "spec", "selector", "matchLabels")
		for _, service := range ofKind[corev1.Service](t, all, "Service") {
			found := true
			for name, value := range selector {
				found = found && service.Labels[name] == value
			}
			if found != (service.Name == "bbmcp-"+role+"-metrics") {
				t.Errorf("the ServiceMonitor of %s finds %s: %t", role, service.Name, found)
			}
		}
	}
	for _, object := range render(t, "", Release{}).Objects {
		if strings.HasSuffix(object.GetKind(), "Monitor") || strings.HasSuffix(object.GetName(), "-metrics") {
			t.Errorf("%s is there without the operator's API", ObjectKey(object))
		}
	}
}

// What Prometheus sends may be read by whatever answers in the place of a Pod, as long
// as its certificate is not verified: so it is worth nothing but the metrics.
func TestScrapingSendsNoTokenOfPrometheus(t *testing.T) {
	for _, c := range []struct {
		values, serverName string
		verified           bool
	}{
		{"", "", false},
		{"{monitoring: {tls: {secretName: bbmcp-metrics-tls}}}", "bbmcp-%s-metrics.bbmcp-system.svc", true},
		{"{monitoring: {tls: {secretName: bbmcp-metrics-tls, serverName: bbmcp.example.com}}}", "bbmcp.example.com", true},
	} {
		all := render(t, c.values, Release{APIVersions: []string{monitoring}}).Objects
		for _, role := range []string{"manager", "gateway"} {
			endpoints, _, _ := unstructured.NestedSlice(find(t, all, "ServiceMonitor bbmcp-system/bbmcp-"+role).Object, "spec", "endpoints")
			endpoint, _ := endpoints[0].(map[string]any)
			if _, found := endpoint["bearerTokenFile"]; found {
				t.Errorf("values %s: %s gets the token of Prometheus", c.values, role)
			}
			secret, _, _ := unstructured.NestedString(endpoint, "authorization", "credentials", "name")
			if secret != "bbmcp-scraper" {
				t.Errorf("values %s: the credentials for %s are in %q", c.values, role, secret)
			}
			_, skips, _ := unstructured.NestedBool(endpoint, "tlsConfig", "insecureSkipVerify")
			serverName, _, _ := unstructured.NestedString(endpoint, "tlsConfig", "serverName")
			authority, _, _ := unstructured.NestedString(endpoint, "tlsConfig", "ca", "secret", "name")
			if skips == c.verified || serverName != strings.ReplaceAll(c.serverName, "%s", role) || (authority == "bbmcp-metrics-tls") != c.verified {
				t.Errorf("values %s: %s is scraped with %v", c.values, role, endpoint["tlsConfig"])
			}
		}
		token := as[corev1.Secret](t, find(t, all, "Secret bbmcp-system/bbmcp-scraper"))
		if token.Type != corev1.SecretTypeServiceAccountToken || token.Annotations[corev1.ServiceAccountNameKey] != "bbmcp-scraper" {
			t.Errorf("the token of the scraper: %s, %v", token.Type, token.Annotations)
		}
		binding := as[rbacv1.ClusterRoleBinding](t, find(t, all, "ClusterRoleBinding /bbmcp-scraper"))
		if binding.RoleRef.Name != "bbmcp-metrics-reader" || binding.Subjects[0].Name != "bbmcp-scraper" || binding.Subjects[0].Namespace != "bbmcp-system" {
			t.Errorf("the rights of the scraper: %v", binding)
		}
	}
}

func TestNotesNameWhatWasInstalled(t *testing.T) {
	for _, c := range []struct{ values, want string }{
		{"", "http://bbmcp-gateway.bbmcp-system\n"},
		{"{gateway: {tls: {secretName: a}}}", "https://bbmcp-gateway.bbmcp-system\n"},
		{"{gateway: {service: {port: 8000}}}", "http://bbmcp-gateway.bbmcp-system:8000\n"},
		{"", "rollout status deployment/bbmcp-manager"},
		{"{namespaces: [team-a]}", "for team-a alone"},
		{"{crds: {keep: false}}", "will delete the CRDs"},
	} {
		if notes := render(t, c.values, Release{}).Notes; !strings.Contains(notes, c.want) {
			t.Errorf("notes for %q lack %q:\n%s", c.values, c.want, notes)
		}
	}
}

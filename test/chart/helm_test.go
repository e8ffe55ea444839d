// SPDX-License-Identifier: Apache-2.0

//go:build helm

package chart

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
)

const namespace = "bbmcp-system"

// cluster is a control plane in which nothing of ours is installed.
type cluster struct {
	*controlplane.ControlPlane
	client client.Client
	// home is where Helm keeps what it keeps.
	home string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{UnsafeNoFsync: true, Progress: func(text string) { t.Log(text) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(plane.AdminConfig(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{ControlPlane: plane, client: c, home: t.TempDir()}
}

// run runs a program of a user of this cluster and returns what it prints.
func (c *cluster) run(t *testing.T, stdin []byte, program string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig(),
		"HELM_CACHE_HOME="+c.home, "HELM_CONFIG_HOME="+c.home, "HELM_DATA_HOME="+c.home)
	command.Stdin = bytes.NewReader(stdin)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// restrict makes the namespace with its Pod Security level.
func (c *cluster) restrict(t *testing.T) {
	t.Helper()
	if err := controlplane.Apply(t.Context(), c.AdminConfig(), filepath.Join(root, "config/namespace")); err != nil {
		t.Fatal(err)
	}
}

// holds fails unless all these objects are there, or none of them.
func (c *cluster) holds(t *testing.T, all []*unstructured.Unstructured, there bool) {
	t.Helper()
	for _, object := range all {
		found := &unstructured.Unstructured{}
		found.SetGroupVersionKind(object.GroupVersionKind())
		err := c.client.Get(t.Context(), client.ObjectKeyFromObject(object), found)
		switch {
		case there && err != nil:
			t.Errorf("%s: %v", ObjectKey(object), err)
		case !there && err == nil && found.GetDeletionTimestamp() == nil:
			t.Errorf("%s is still there", ObjectKey(object))
		case !there && err != nil && !apierrors.IsNotFound(err):
			t.Errorf("%s: %v", ObjectKey(object), err)
		}
	}
}

// stays are the objects that outlive the release.
func stays(object *unstructured.Unstructured) bool {
	return object.GetAnnotations()["helm.sh/resource-policy"] == "keep"
}

// deployment is the one of a role.
func (c *cluster) deployment(t *testing.T, role string) appsv1.Deployment {
	t.Helper()
	var deployment appsv1.Deployment
	if err := c.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "bbmcp-" + role}, &deployment); err != nil {
		t.Fatal(err)
	}
	return deployment
}

// replicas are those that a Deployment asks for.
func (c *cluster) replicas(t *testing.T, role string) int32 {
	t.Helper()
	return *c.deployment(t, role).Spec.Replicas
}

// The whole life of a release, with each Helm that is supported.
func TestHelmInstallsUpgradesRollsBackAndRemoves(t *testing.T) {
	for _, helm := range []string{"helm3", "helm4"} {
		t.Run(helm, func(t *testing.T) {
			binary := binaryOf(t, helm)
			current, err := filepath.Abs(filepath.Join(root, Folder))
			if err != nil {
				t.Fatal(err)
			}
			c := newCluster(t)
			c.restrict(t)
			all := render(t, "", Release{}).Objects
			gone := slices.DeleteFunc(slices.Clone(all), stays)
			kept := slices.DeleteFunc(slices.Clone(all), func(o *unstructured.Unstructured) bool { return !stays(o) })
			if len(kept) != 7 {
				t.Fatalf("%d objects are to stay, want 3 CRDs and 4 event types", len(kept))
			}

			c.run(t, nil, binary, "install", "bbmcp", previous(t), "--namespace="+namespace)
			c.holds(t, kept, true)
			hook := &v1alpha1.Webhook{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "mine"},
				Spec:       v1alpha1.WebhookSpec{URL: "https://example.com/hook", Events: []string{"*"}},
			}
			if err := c.client.Create(t.Context(), hook); err != nil {
				t.Fatal(err)
			}

			c.run(t, nil, binary, "upgrade", "bbmcp", current, "--namespace="+namespace, "--set=manager.replicas=3")
			c.holds(t, all, true)
			if got := c.replicas(t, "manager"); got != 3 {
				t.Errorf("%d replicas after the upgrade", got)
			}
			c.admitsPods(t)
			c.run(t, nil, binary, "upgrade", "bbmcp", current, "--namespace="+namespace)
			c.run(t, nil, binary, "rollback", "bbmcp", "1", "--namespace="+namespace)
			c.holds(t, kept, true)
			if got := c.replicas(t, "manager"); got != 2 {
				t.Errorf("%d replicas after the rollback", got)
			}
			c.run(t, nil, binary, "upgrade", "bbmcp", current, "--namespace="+namespace)
			c.holds(t, all, true)

			c.run(t, nil, binary, "uninstall", "bbmcp", "--namespace="+namespace)
			c.holds(t, gone, false)
			c.holds(t, kept, true)
			if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(hook), hook); err != nil {
				t.Errorf("the user's webhook: %v", err)
			}

			c.run(t, nil, binary, "install", "bbmcp", current, "--namespace="+namespace)
			c.holds(t, all, true)
			if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(hook), hook); err != nil {
				t.Errorf("the user's webhook: %v", err)
			}
		})
	}
}

// previous is the chart before the last commit that changed it, or the chart
// itself while it has only one.
func previous(t *testing.T) string {
	t.Helper()
	commits := strings.Fields(string(git(t, "log", "-n", "2", "--format=%H", "--", Folder)))
	if len(commits) == 0 {
		return filepath.Join(root, Folder)
	}
	return chartOf(t, commits[len(commits)-1])
}

// chartOf unpacks the chart of a commit.
func chartOf(t *testing.T, commit string) string {
	t.Helper()
	known := exec.CommandContext(t.Context(), "git", "cat-file", "-e", commit+"^{commit}")
	known.Dir = root
	if err := known.Run(); err != nil {
		t.Skipf("this clone does not reach back to %s", commit)
	}
	folder := t.TempDir()
	unpack := exec.CommandContext(t.Context(), "tar", "-x", "-C", folder)
	unpack.Stdin = bytes.NewReader(git(t, "archive", commit, Folder))
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	t.Logf("upgraded from the chart of %s", commit)
	return filepath.Join(folder, Folder)
}

func git(t *testing.T, args ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", args...)
	command.Dir = root
	out, err := command.Output()
	if err != nil {
		t.Fatalf("git %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// admitsPods asks the API server about a Pod of each Deployment, in a namespace
// that enforces the level restricted, and about one that does not meet it.
func (c *cluster) admitsPods(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for _, role := range []string{"manager", "gateway"} {
		deployment := c.deployment(t, role)
		if pod := deployment.Spec.Template; pod.Spec.NodeSelector["kubernetes.io/os"] != "linux" ||
			pod.Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] != "true" {
			t.Errorf("the %s runs on %v with %v", role, pod.Spec.NodeSelector, pod.Annotations)
		}
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role, Labels: deployment.Spec.Template.Labels},
			Spec:       deployment.Spec.Template.Spec,
		}
		if err := c.client.Create(ctx, pod.DeepCopy(), client.DryRunAll); err != nil {
			t.Errorf("Pod of %s: %v", role, err)
		}
		pod.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = new(true)
		if err := c.client.Create(ctx, pod, client.DryRunAll); !apierrors.IsForbidden(err) {
			t.Errorf("a Pod that may gain privileges: %v, want it refused", err)
		}
	}
}

// The other road: kubectl apply of what kustomize builds, twice.
func TestKubectlAppliesTheKustomization(t *testing.T) {
	c := newCluster(t)
	for range 2 {
		for _, folder := range []string{"config", "config/eventtypes"} {
			text, err := Kustomize(t.Context(), root, folder)
			if err != nil {
				t.Fatal(err)
			}
			if folder == "config/eventtypes" {
				c.run(t, nil, "kubectl", "wait", "--for=condition=Established", "crd/eventtypes.bbmcp.quietstack.com", "--timeout=30s")
			}
			out := c.run(t, text, "kubectl", "apply", "--server-side", "-f", "-")
			if strings.Contains(strings.ToLower(out), "warning") {
				t.Errorf("kubectl warns:\n%s", out)
			}
		}
	}
	c.holds(t, slices.Concat(kustomized(t, "config"), kustomized(t, "config/eventtypes")), true)
	c.admitsPods(t)
}

// What the policy refuses, the API server refuses.
func TestAdmissionPolicyRefusesOtherHosts(t *testing.T) {
	c := newCluster(t)
	rendered := render(t, "{admission: {httpsOnly: true, allowedHosts: [hooks.example.com, '*.partner.example']}}", Release{})
	for _, object := range slices.DeleteFunc(rendered.Objects, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == "EventType" || o.GetNamespace() == namespace
	}) {
		if err := c.client.Create(t.Context(), object); err != nil {
			t.Fatalf("%s: %v", ObjectKey(object), err)
		}
	}
	c.run(t, nil, "kubectl", "wait", "--for=condition=Established", "crd/webhooks.bbmcp.quietstack.com", "--timeout=30s")
	try := func(url string) error {
		return c.client.Create(t.Context(), &v1alpha1.Webhook{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "mine-"},
			Spec:       v1alpha1.WebhookSpec{URL: url, Events: []string{"*"}},
		}, client.DryRunAll)
	}
	if err := eventually(t.Context(), func() bool { return try("http://hooks.example.com/") != nil }); err != nil {
		t.Fatal("the policy never takes effect")
	}
	for url, allowed := range map[string]bool{
		"https://hooks.example.com/x":            true,
		"https://HOOKS.example.com/x":            true,
		"https://hooks.example.com:8443/x":       true,
		"https://a.partner.example/x":            true,
		"https://a.b.partner.example/x":          true,
		"https://partner.example/x":              false,
		"https://evilpartner.example/x":          false,
		"https://hooks.example.com.evil/x":       false,
		"https://example.com/?hooks.example.com": false,
		"http://hooks.example.com/x":             false,
	} {
		if err := try(url); (err == nil) != allowed {
			t.Errorf("%s: allowed %t, want %t: %v", url, err == nil, allowed, err)
		}
	}
}

// eventually asks until the answer is yes, for as long as a start may take.
func eventually(ctx context.Context, yes func() bool) error {
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) { return yes(), nil })
}

// SPDX-License-Identifier: Apache-2.0

package policies

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/chart"
)

const (
	root = "../.."
	// system is the namespace of the release, which has another name and place
	// than that of config/.
	system = "tools"
	// team is where the tenant works.
	team = "team-a"
	// soon is for what takes moments on a machine that is not busy.
	soon = 30 * time.Second
)

// People and programs, by the names that the API server knows them by.
const (
	gateway  = "system:serviceaccount:tools:hooks-bbmcp-gateway"
	manager  = "system:serviceaccount:tools:hooks-bbmcp-manager"
	backup   = "system:serviceaccount:velero:velero" // cluster-admin, and in policies.trusted
	gitops   = "system:serviceaccount:argocd:argocd" // cluster-admin
	restorer = "jane"                                // cluster-admin, and in policies.trusted
	operator = "olga"                                // cluster-admin
	owner    = "omar"                                // admin of the team's namespace
	editor   = "edda"                                // bbmcp-editor there, nothing else
	onCall   = "carl"                                // patches deliveries there
	rescuer  = "system:admin"                        // of the group system:masters
)

// values of the chart.
const values = `{policies: {trusted: [
	{kind: ServiceAccount, namespace: velero, name: velero}, {kind: User, name: jane}, {kind: Group, name: "system:masters"}]}}`

// cluster is a control plane with what the chart installs, but no process of ours.
type cluster struct {
	plane  *controlplane.ControlPlane
	config *rest.Config
	admin  client.Client // all rights, and trusted
	scheme *runtime.Scheme
	// said are the words that were expected in refusals and warnings, and came.
	said map[string]bool
}

// newCluster starts one whose policies are in force.
func newCluster(t testing.TB, values string) *cluster {
	t.Helper()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{
		UnsafeNoFsync: true, Manifests: []string{install(t, values)}, Progress: func(text string) { t.Log(text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctrl.SetLogger(logr.Discard()) // the client library complains unless somebody decides
	c := &cluster{plane: plane, config: plane.AdminConfig(), scheme: runtime.NewScheme(), said: map[string]bool{}}
	if err := errors.Join(clientgoscheme.AddToScheme(c.scheme), v1alpha1.AddToScheme(c.scheme)); err != nil {
		t.Fatal(err)
	}
	c.admin = c.as(t, "system:admin", "system:masters")
	return c
}

// install writes what the chart makes, but for what needs nodes, to a file.
func install(t testing.TB, values string) string {
	t.Helper()
	parsed := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(values), &parsed); err != nil {
		t.Fatal(err)
	}
	rendered, err := chart.Render(t.Context(), root, parsed, chart.Release{Name: "hooks", Namespace: system, APIVersions: []string{chart.GroupVersion}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", system)
	for _, object := range rendered.Objects {
		if slices.Contains([]string{"Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"}, object.GetKind()) {
			continue
		}
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	file := filepath.Join(t.TempDir(), "chart.yaml")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// as is a client of somebody else. A ServiceAccount has the groups that its token
// gives it.
func (c *cluster) as(t testing.TB, user string, groups ...string) client.Client {
	t.Helper()
	config := rest.CopyConfig(c.config)
	config.QPS = -1
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	as, err := client.New(config, client.Options{Scheme: c.scheme})
	if err != nil {
		t.Fatal(err)
	}
	return as
}

// populate makes the team's namespace and gives everyone their rights.
func (c *cluster) populate(t testing.TB) {
	t.Helper()
	c.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: team}})
	c.create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "on-call"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"webhookdeliveries"}, Verbs: []string{"get", "list", "patch", "update"},
	}}})
	for _, user := range []string{backup, gitops, operator, restorer} {
		c.grant(t, "cluster-admin", user)
	}
	for user, role := range map[string]string{owner: "admin", editor: "bbmcp-editor", onCall: "on-call"} {
		c.create(t, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "team-", Namespace: team},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, Subjects: []rbacv1.Subject{subject(user)},
		})
	}
	c.inForce(t)
}

// grant gives somebody a ClusterRole everywhere.
func (c *cluster) grant(t testing.TB, role, user string) {
	t.Helper()
	c.create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "all-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, Subjects: []rbacv1.Subject{subject(user)},
	})
}

func subject(user string) rbacv1.Subject {
	if name, isAccount := strings.CutPrefix(user, "system:serviceaccount:"); isAccount {
		namespace, name, _ := strings.Cut(name, ":")
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
	}
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}
}

// inForce waits until every policy refuses what it is there for, and the roles of
// Kubernetes contain ours.
func (c *cluster) inForce(t testing.TB) {
	t.Helper()
	existing := newDelivery("first")
	c.create(t, existing)
	someone := c.as(t, operator)
	for policy, refused := range map[string]func() error{
		"deliveries": func() error {
			return someone.Create(t.Context(), newDelivery("early", withFirstAttempt), client.DryRunAll)
		},
		"status": func() error { return someone.Status().Update(t.Context(), existing.DeepCopy(), client.DryRunAll) },
		"secrets": func() error {
			return someone.Create(t.Context(), newSecret("early", corev1.SecretTypeTLS, signing), client.DryRunAll)
		},
		"service-accounts": func() error {
			return c.as(t, manager).Create(t.Context(), newSecret("early", corev1.SecretTypeOpaque), client.DryRunAll)
		},
	} {
		gomega.NewWithT(t).Eventually(refused).WithTimeout(soon).WithPolling(20*time.Millisecond).
			Should(gomega.Satisfy(isRefusal), "the policy for %s is not in force", policy)
	}
	c.eventually(t, func() bool {
		return c.as(t, owner).Delete(t.Context(), existing.DeepCopy(), client.DryRunAll) == nil
	})
}

// isRefusal tells the words of a policy from those of RBAC.
func isRefusal(err error) bool {
	return err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'hooks-bbmcp-")
}

// apiServer is its process id.
func (c *cluster) apiServer() int { return c.plane.PIDs().APIServer }

// eventually asks until the answer is yes.
func (c *cluster) eventually(t testing.TB, yes func() bool) {
	t.Helper()
	gomega.NewWithT(t).Eventually(yes).WithTimeout(soon).WithPolling(20 * time.Millisecond).Should(gomega.BeTrue())
}

// create makes an object with all rights.
func (c *cluster) create(t testing.TB, object client.Object) {
	t.Helper()
	if err := c.admin.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
}

// webhook makes one and returns the reference to it as an owner, which the garbage
// collector looks for.
func (c *cluster) webhook(t testing.TB, name string) []metav1.OwnerReference {
	t.Helper()
	webhook := newWebhook(name)
	c.create(t, webhook)
	return []metav1.OwnerReference{*metav1.NewControllerRef(webhook, v1alpha1.GroupVersion.WithKind("Webhook"))}
}

// attempt is one write and what becomes of it.
type attempt struct {
	name string
	who  string
	do   func(context.Context, client.Client) error
	// says is part of the refusal; empty: it must pass.
	says string
}

func (c *cluster) try(t *testing.T, attempts []attempt) {
	t.Helper()
	for _, a := range attempts {
		t.Run(a.name, func(t *testing.T) {
			var groups []string
			if a.who == rescuer {
				groups = []string{"system:masters"}
			}
			err := a.do(t.Context(), c.as(t, a.who, groups...))
			switch {
			case a.says == "" && err != nil:
				t.Errorf("refused: %v", err)
			case a.says != "" && err == nil:
				t.Error("nobody refuses it")
			case a.says != "" && (!isRefusal(err) || !strings.Contains(err.Error(), a.says)):
				t.Errorf("refused, but not for %q: %v", a.says, err)
			case a.says != "" && !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err):
				t.Errorf("refused with another status: %v", err)
			case a.says != "":
				c.said[a.says] = true
			}
		})
	}
}

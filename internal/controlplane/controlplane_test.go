// SPDX-License-Identifier: Apache-2.0

package controlplane_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"bbmcp.quietstack.com/webhooks/internal/controlplane"
)

// start starts a control plane that ends with the test.
func start(t *testing.T, options controlplane.Options) *controlplane.ControlPlane {
	t.Helper()
	options.Progress = func(line string) { t.Log(line) }
	cp, err := controlplane.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	return cp
}

func clientFor(t *testing.T, cfg *rest.Config) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// eventually repeats check until it succeeds or time is up.
func eventually(t *testing.T, within time.Duration, check func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, within, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("not within %s: %v", within, last)
	}
}

func createNamespace(t *testing.T, client *kubernetes.Clientset, name string) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func createServiceAccount(t *testing.T, client *kubernetes.Clientset, namespace, name string) {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// bindView gives a ServiceAccount the ClusterRole "view" in its namespace.
func bindView(t *testing.T, client *kubernetes.Clientset, namespace, account string) {
	t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}},
	}
	if _, err := client.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestControlPlane(t *testing.T) {
	cp := start(t, controlplane.Options{UnsafeNoFsync: true})
	admin := clientFor(t, cp.AdminConfig())

	t.Run("a new namespace gets its default ServiceAccount", func(t *testing.T) { testDefaultServiceAccount(t, admin) })
	t.Run("RBAC refuses a ServiceAccount without a role and allows one with a role", func(t *testing.T) { testRBAC(t, cp, admin) })
	t.Run("an aggregated ClusterRole collects the rules of labelled ones", func(t *testing.T) { testAggregation(t, admin) })
	t.Run("an object goes when its owner is deleted", func(t *testing.T) { testGarbageCollection(t, admin) })
	t.Run("the API server publishes an address of its own in its EndpointSlice", func(t *testing.T) { testEndpointSlice(t, admin) })
	t.Run("the kubeconfig in the folder is the administrator's", func(t *testing.T) { testAdminKubeconfig(t, cp) })
	t.Run("a kubeconfig of a token carries that ServiceAccount's rights and no others", func(t *testing.T) { testTokenKubeconfig(t, cp, admin) })
}

func testDefaultServiceAccount(t *testing.T, admin *kubernetes.Clientset) {
	createNamespace(t, admin, "born")
	eventually(t, 5*time.Second, func(ctx context.Context) error {
		_, err := admin.CoreV1().ServiceAccounts("born").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func testRBAC(t *testing.T, cp *controlplane.ControlPlane, admin *kubernetes.Clientset) {
	createNamespace(t, admin, "rbac")
	got := map[string]bool{}
	for _, name := range []string{"stranger", "reader"} {
		createServiceAccount(t, admin, "rbac", name)
	}
	bindView(t, admin, "rbac", "reader")
	for _, name := range []string{"stranger", "reader"} {
		cfg, err := cp.ServiceAccountConfig(t.Context(), "rbac", name, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		// The authoriser learns of the binding from a watch.
		if name == "reader" {
			eventually(t, 5*time.Second, func(ctx context.Context) error {
				_, err := clientFor(t, cfg).CoreV1().ConfigMaps("rbac").List(ctx, metav1.ListOptions{})
				return err
			})
		}
		_, err = clientFor(t, cfg).CoreV1().ConfigMaps("rbac").List(t.Context(), metav1.ListOptions{})
		if err != nil && !apierrors.IsForbidden(err) {
			t.Fatal(err)
		}
		got[name] = err == nil
	}
	if want := map[string]bool{"stranger": false, "reader": true}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("allowed: got %v, want %v", got, want)
	}
}

func testAggregation(t *testing.T, admin *kubernetes.Clientset) {
	rule := rbacv1.PolicyRule{APIGroups: []string{"example.com"}, Resources: []string{"things"}, Verbs: []string{"get"}}
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "things", Labels: map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
		Rules:      []rbacv1.PolicyRule{rule},
	}
	if _, err := admin.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func(ctx context.Context) error {
		view, err := admin.RbacV1().ClusterRoles().Get(ctx, "view", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, each := range view.Rules {
			if each.String() == rule.String() {
				return nil
			}
		}
		return errors.New("rule is not in view")
	})
}

func testGarbageCollection(t *testing.T, admin *kubernetes.Clientset) {
	maps := admin.CoreV1().ConfigMaps("default")
	owner, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	owned := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owned", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID},
	}}}
	if _, err := maps.Create(t.Context(), owned, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(t.Context(), "owner", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	eventually(t, 10*time.Second, func(ctx context.Context) error {
		_, err := maps.Get(ctx, "owned", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("owned is still there"), err)
	})
	t.Logf("garbage collected after %s", time.Since(begin).Round(time.Millisecond))
}

func testEndpointSlice(t *testing.T, admin *kubernetes.Clientset) {
	eventually(t, 5*time.Second, func(ctx context.Context) error {
		slice, err := admin.DiscoveryV1().EndpointSlices("default").Get(ctx, "kubernetes", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got := fmt.Sprint(slice.Endpoints[0].Addresses); got != "[192.0.2.1]" {
			return fmt.Errorf("addresses: %s", got)
		}
		return nil
	})
}

func testAdminKubeconfig(t *testing.T, cp *controlplane.ControlPlane) {
	cfg, err := clientcmd.BuildConfigFromFlags("", cp.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clientFor(t, cfg).CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

func testTokenKubeconfig(t *testing.T, cp *controlplane.ControlPlane, admin *kubernetes.Clientset) {
	createServiceAccount(t, admin, "default", "token-user")
	cfg, err := cp.ServiceAccountConfig(t.Context(), "default", "token-user", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := controlplane.WriteKubeconfig(path, cfg); err != nil {
		t.Fatal(err)
	}
	read, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = clientFor(t, read).CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{})
	if err == nil || !strings.Contains(err.Error(), "system:serviceaccount:default:token-user") {
		t.Errorf("got %v, want a refusal that names the ServiceAccount", err)
	}
}

func TestAPIServerOutage(t *testing.T) {
	cp := start(t, controlplane.Options{UnsafeNoFsync: true})
	admin := clientFor(t, cp.AdminConfig())
	before := cp.PIDs()
	createNamespace(t, admin, "kept")

	t.Run("a paused API server answers nothing until it is resumed", func(t *testing.T) {
		if err := cp.PauseAPIServer(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := admin.CoreV1().Namespaces().Get(ctx, "kept", metav1.GetOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while paused: got %v, want a timeout", err)
		}
		if err := cp.ResumeAPIServer(); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.CoreV1().Namespaces().Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
			t.Errorf("after resuming: %v", err)
		}
	})

	t.Run("a killed API server refuses connections", func(t *testing.T) {
		if err := cp.KillAPIServer(); err != nil {
			t.Fatal(err)
		}
		_, err := admin.CoreV1().Namespaces().Get(t.Context(), "kept", metav1.GetOptions{})
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want connection refused", err)
		}
		if got, want := cp.PIDs(), (controlplane.PIDs{Etcd: before.Etcd, ControllerManager: before.ControllerManager}); got != want {
			t.Errorf("processes: got %+v, want %+v", got, want)
		}
	})

	t.Run("a restarted API server is at the same address and has its data", func(t *testing.T) {
		begin := time.Now()
		if err := cp.StartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Logf("ready again after %s", time.Since(begin).Round(time.Millisecond))
		if _, err := admin.CoreV1().Namespaces().Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
		if err := cp.StartAPIServer(t.Context()); err == nil {
			t.Error("a second start of a running API server succeeded")
		}
	})

	t.Run("a start that is given up leaves the API server dead, so it can be started again", func(t *testing.T) {
		if err := cp.KillAPIServer(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := cp.StartAPIServer(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context canceled", err)
		}
		if got := cp.PIDs().APIServer; got != 0 {
			t.Errorf("API server runs as process %d", got)
		}
	})

	t.Run("a control plane whose API server is paused can be stopped", func(t *testing.T) {
		if err := cp.StartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := cp.PauseAPIServer(); err != nil {
			t.Fatal(err)
		}
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestStop(t *testing.T) {
	t.Run("a stop leaves no process and no folder", func(t *testing.T) {
		cp := start(t, controlplane.Options{UnsafeNoFsync: true})
		pids, dir := cp.PIDs(), cp.Dir()
		begin := time.Now()
		for range 2 {
			if err := cp.Stop(); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("stopped in %s", time.Since(begin).Round(time.Millisecond))
		for _, pid := range []int{pids.Etcd, pids.APIServer, pids.ControllerManager} {
			if err := syscall.Kill(pid, 0); pid == 0 || !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d: got %v, want none", pid, err)
			}
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("folder: got %v, want none", err)
		}
		if got := cp.PIDs(); got != (controlplane.PIDs{}) {
			t.Errorf("processes: got %+v, want none", got)
		}
		if err := cp.StartAPIServer(t.Context()); err == nil {
			t.Error("a stopped control plane started its API server")
		}
	})

	t.Run("a control plane in a kept folder comes back at its port with objects and tokens", func(t *testing.T) {
		dir := t.TempDir()
		first := start(t, controlplane.Options{Dir: dir})
		admin := clientFor(t, first.AdminConfig())
		createNamespace(t, admin, "kept")
		createServiceAccount(t, admin, "kept", "reader")
		bindView(t, admin, "kept", "reader")
		cfg, err := first.ServiceAccountConfig(t.Context(), "kept", "reader", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := controlplane.Start(t.Context(), controlplane.Options{Dir: dir}); err == nil {
			t.Error("a second control plane started in the same folder")
		}
		if err := first.Stop(); err != nil {
			t.Fatal(err)
		}
		address, err := url.Parse(first.APIServerURL())
		if err != nil {
			t.Fatal(err)
		}
		port, err := strconv.Atoi(address.Port())
		if err != nil {
			t.Fatal(err)
		}
		start(t, controlplane.Options{Dir: dir, Port: port})
		if _, err := clientFor(t, cfg).CoreV1().ConfigMaps("kept").List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Error(err)
		}
	})
}

func TestStartFailure(t *testing.T) {
	t.Run("a server that exits is reported at once, with what it logged", func(t *testing.T) {
		begin := time.Now()
		_, err := controlplane.Start(t.Context(), controlplane.Options{APIServerArgs: []string{"--no-such-flag"}})
		if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
			t.Errorf("got %v, want the message about the flag", err)
		}
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("reported after %s", took)
		}
	})
}

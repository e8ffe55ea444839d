// SPDX-License-Identifier: Apache-2.0

package current

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func TestClustersOnThisMachine(t *testing.T) {
	for _, tc := range []struct {
		context, server string
		want            bool
	}{
		{"kind-kind", "https://127.0.0.1:40001", true},
		{"docker-desktop", "https://localhost:6443", true},
		{"kind-kind", "https://[::1]:6443", true},
		{"kind-kind", "127.0.0.1:8080", true},
		{"k3d-demo", "https://0.0.0.0:40001", true},
		{"minikube", "https://192.168.49.2:8443", true},
		{"k3d-demo", "https://172.18.0.2:6443", true},
		{"minikube", "https://203.0.113.7:8443", false},
		{"kind-kind", "https://kind.example.com:6443", false},
		{"anything", "https://127.0.0.1:6443", false},
		{"anything", "https://localhost:6443", false},
		{"anything", "https://[::1]:6443", false},
		{"anything", "127.0.0.1:8080", false},
		{"anything", "https://0.0.0.0:6443", false},
		{"production", "https://10.0.0.1:6443", false},
		{"production", "https://api.example.com", false},
		{"production", "https://localhost.example.com", false},
		{"kind-kind", "::", false},
	} {
		if got := isLocalTarget(tc.context, &clientcmdapi.Cluster{Server: tc.server}); got != tc.want {
			t.Errorf("%s at %s: got %t, want %t", tc.context, tc.server, got, tc.want)
		}
	}
	for name, cluster := range map[string]*clientcmdapi.Cluster{
		"a proxy":      {Server: "https://127.0.0.1:6443", ProxyURL: "socks5://127.0.0.1:1080"},
		"another name": {Server: "https://127.0.0.1:6443", TLSServerName: "api.example.com"},
	} {
		if isLocalTarget("kind-kind", cluster) {
			t.Errorf("a server behind %s counts as one on this machine", name)
		}
	}
}

// useKubeconfig makes a kubeconfig the user's, whose two contexts, mine and kind-mine, lead to one server.
func useKubeconfig(t *testing.T, context, server string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: %[1]q
contexts: [{name: mine, context: {cluster: c, user: u}}, {name: kind-mine, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: %[2]q}}]
users: [{name: u, user: {}}]
`, context, server)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", file)
}

func TestFindTarget(t *testing.T) {
	version := `{"major":"1","minor":"37","gitVersion":"v1.37.1"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(version))
	}))
	t.Cleanup(server.Close)

	t.Run("a cluster on this machine is found, and which version it is", func(t *testing.T) {
		useKubeconfig(t, "kind-mine", server.URL)
		target, err := FindTarget("")
		if err != nil || target.Context != "kind-mine" || target.Server != server.URL || target.Version != "v1.37.1" || target.Kubeconfig != os.Getenv("KUBECONFIG") {
			t.Errorf("got %+v, %v", target, err)
		}
	})

	for _, tc := range []struct{ name, context, server, confirmed, version, want string }{
		{"no context", "", server.URL, "", "v1.37.1", "no current context: `kubectl config use-context NAME` chooses one"},
		{"a context that is not there", "other", server.URL, "other", "v1.37.1", `the context "other" of the kubeconfig is not usable`},
		{"a cluster elsewhere", "kind-mine", "https://203.0.113.7", "", "v1.37.1", "name it: make demo CLUSTER=current CONTEXT=kind-mine"},
		{"a tunnel to any cluster", "mine", server.URL, "", "v1.37.1", "name it: make demo CLUSTER=current CONTEXT=mine"},
		{"another context than was named", "mine", server.URL, "staging", "v1.37.1", "`kubectl config use-context staging` changes that"},
		{"a server that does not answer", "kind-mine", "http://127.0.0.1:1", "", "v1.37.1", "is the cluster up?"},
		{"a server that is too old", "kind-mine", server.URL, "", "v1.30.9", "the chart takes 1.31.0 or later"},
		{"a server without a version", "kind-mine", server.URL, "", "latest", `has the version "latest"`},
	} {
		t.Run(tc.name+" is refused in a sentence", func(t *testing.T) {
			version = fmt.Sprintf(`{"gitVersion":%q}`, tc.version)
			useKubeconfig(t, tc.context, tc.server)
			_, err := FindTarget(tc.confirmed)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}

	t.Run("a cluster elsewhere that is named is asked", func(t *testing.T) {
		version = `{"gitVersion":"v1.31.0"}`
		useKubeconfig(t, "mine", server.URL)
		if _, err := FindTarget("mine"); err != nil {
			t.Error(err)
		}
	})
}

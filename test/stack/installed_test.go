// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/controlplane"
)

// Processes have the rights that the chart gives, and no others: without its
// roles neither becomes ready, and the manager says why.
func TestProcessesHaveTheChartsRights(t *testing.T) {
	s, err := Start(t.Context(), Options{
		ControlPlane: controlplane.Options{UnsafeNoFsync: true},
		Values:       map[string]any{"rbac": map[string]any{"create": false}},
		Progress:     func(text string) { t.Log(text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := s.StartGateway(ctx, GatewayOptions{}); err == nil {
		t.Error("the gateway is ready although the chart gave it no role")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := s.StartManager(ctx, ManagerOptions{}); err == nil {
		t.Error("the manager is ready although it may read nothing")
	}
	log, err := os.ReadFile(filepath.Join(s.Dir, "manager-2.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), "forbidden") {
		t.Errorf("nothing is forbidden to a manager without roles:\n%s", log)
	}
}

// Arguments come from the chart, before those of whoever starts the process.
func TestProcessesHaveTheChartsArguments(t *testing.T) {
	root, err := Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &Stack{Dir: t.TempDir()}
	values := map[string]any{
		"manager":    map[string]any{"flags": map[string]any{"unsettled": 7}},
		"dispatcher": map[string]any{"flags": map[string]any{"log-level": "debug"}},
	}
	if _, err := s.renderInstalled(t.Context(), root, values); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.installed["manager"].args, " "); got != "manager --unsettled=7" {
		t.Errorf("manager runs with %q", got)
	}
	for _, role := range []string{"manager", "gateway"} {
		sidecar := s.newSidecar(role, role, "127.0.0.1:1", []string{"--allow-http=false"})
		want := "--metrics-address=:8082 --log-level=debug --allow-cidr=127.0.0.0/8 --allow-http --metrics-address=127.0.0.1:1 --explain-allowed --allow-http=false"
		if got := strings.Join(sidecar.dispatcherArgs, " "); got != want {
			t.Errorf("dispatcher of the %s runs with %q, want %q", role, got, want)
		}
	}
}

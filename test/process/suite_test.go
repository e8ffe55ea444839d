// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

const (
	// fullVariable, set to anything, makes tests as large as what they claim.
	fullVariable = "PROCESS_FULL"
	// logsVariable names a folder that the logs of a spec that failed are copied to.
	logsVariable = "PROCESS_LOGS"
)

// cluster is the one control plane that all specs share.
var cluster *suite.Cluster

func TestProcess(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Process")
}

var _ = BeforeSuite(func(ctx SpecContext) { cluster = suite.Start(ctx, stack.Options{}) }, NodeTimeout(suite.StartTimeout))

// size is how many deliveries a test makes: as many as it claims, or a number
// that fits a run of all tests.
func size(usual, full int) int {
	if os.Getenv(fullVariable) != "" {
		return full
	}
	return usual
}

// measured reports a figure.
func measured(format string, args ...any) {
	AddReportEntry(fmt.Sprintf(format, args...), ReportEntryVisibilityAlways)
}

// supervised is a manager as users run it, with a sidecar that comes back.
func supervised(args ...string) stack.ManagerOptions {
	return stack.ManagerOptions{Supervise: true, Args: args}
}

// quick makes leadership change hands within seconds. On a busy machine such a
// leader may lose its lease for no reason, so it is for specs that need it.
func quick(args ...string) stack.ManagerOptions {
	return supervised(append([]string{"--lease-duration=8s", "--renew-deadline=6s", "--retry-period=1s"}, args...)...)
}

// startManager starts a manager for one spec.
func startManager(ctx context.Context, options stack.ManagerOptions) *stack.Manager {
	GinkgoHelper()
	manager, err := cluster.StartManager(ctx, options)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) {
		_ = manager.Resume() // a process that is stopped cannot be waited for
		manager.Kill()
		if CurrentSpecReport().Failed() {
			GinkgoWriter.Println(manager.Process.LogTail())
			_ = cluster.KeepLogs(os.Getenv(logsVariable))
		}
		// The next spec should not wait for this lease to end.
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: stack.SystemNamespace, Name: "bbmcp-webhooks"}}
		Expect(client.IgnoreNotFound(cluster.Client.Delete(ctx, lease))).To(Succeed())
	}, NodeTimeout(time.Minute))
	return manager
}

// startGateway starts a gateway for one spec.
func startGateway(ctx context.Context, options stack.GatewayOptions) *stack.Gateway {
	GinkgoHelper()
	front, err := cluster.StartGateway(ctx, options)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		front.Kill()
		if CurrentSpecReport().Failed() {
			GinkgoWriter.Println(front.Process.LogTail())
			_ = cluster.KeepLogs(os.Getenv(logsVariable))
		}
	})
	return front
}

// startLeader starts a manager and waits until it leads.
func startLeader(ctx context.Context, options stack.ManagerOptions) *stack.Manager {
	GinkgoHelper()
	manager := startManager(ctx, options)
	waitLeads(ctx, manager)
	return manager
}

func waitLeads(ctx context.Context, manager *stack.Manager) {
	GinkgoHelper()
	Eventually(ctx, func() (bool, error) { return manager.Leads(ctx) }).Should(BeTrue())
}

// leaseHolder is who holds the lease; "" after it was released.
func leaseHolder(ctx context.Context) (string, error) {
	var lease coordinationv1.Lease
	err := cluster.Client.Get(ctx, types.NamespacedName{Namespace: stack.SystemNamespace, Name: "bbmcp-webhooks"}, &lease)
	if err != nil || lease.Spec.HolderIdentity == nil {
		return "", err
	}
	return *lease.Spec.HolderIdentity, nil
}

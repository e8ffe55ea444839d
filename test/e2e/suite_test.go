// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/test/e2e/cluster"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const (
	// results is where logs and the table stay.
	results = "../../bin/e2e"
	soon    = 3 * time.Minute
	often   = 100 * time.Millisecond

	receiverImage = "local/receiver:1"
)

var (
	node *cluster.NodeCluster
	k8s  client.Client
	said table
)

func TestE2E(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "A real node")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(logr.Discard())
	began := time.Now()
	var err error
	node, err = cluster.Start(ctx, cluster.Options{
		Dir: "/run/e2e", Programs: os.Getenv("E2E_PROGRAMS"), Pause: filepath.Join(results, "pause"),
		Mirrors:  map[string]string{registryName: "http://" + registryAddress},
		Progress: func(text string) { GinkgoWriter.Println(text) },
	})
	DeferCleanup(func() {
		Expect(keepLogs()).To(Succeed())
		Expect(node.Stop()).To(Succeed())
	})
	Expect(err).NotTo(HaveOccurred())
	said.row("control plane and node to Ready", time.Since(began))
	k8s, err = client.New(node.ControlPlane.AdminConfig(), client.Options{Scheme: stack.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	startRegistry(ctx)
	info, err := os.Stat(filepath.Join(os.Getenv("E2E_RELEASE"), "bbmcp-webhooks-"+os.Getenv("E2E_VERSION")+"-image.oci.tar"))
	Expect(err).NotTo(HaveOccurred())
	said.row("image", fmt.Sprintf("%.1f MiB", float64(info.Size())/(1<<20)))
	Expect(node.LoadProgram(ctx, receiverImage, filepath.Join(results, "receiver"))).To(Succeed())
}, NodeTimeout(5*time.Minute))

var _ = ReportAfterSuite("table", func(Report) {
	GinkgoWriter.Print(said.String())
	_ = os.WriteFile(filepath.Join(results, "table.md"), []byte(said.String()), 0o644)
})

// keepLogs copies what would go with the mount namespace.
func keepLogs() error {
	logs, err := node.Logs()
	if err != nil {
		return err
	}
	for _, log := range logs {
		name := strings.ReplaceAll(strings.TrimPrefix(log, "/run/e2e/"), "/", "_")
		if err := copyFile(log, filepath.Join(results, name)); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return err
}

// table is what was measured, as docs show it.
type table struct {
	mu   sync.Mutex
	rows []string
}

func (t *table) row(what string, figure any) {
	if d, ok := figure.(time.Duration); ok {
		figure = d.Round(10 * time.Millisecond)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, fmt.Sprintf("| %s | %v |", what, figure))
}

func (t *table) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return "| what | figure |\n| --- | --- |\n" + strings.Join(t.rows, "\n") + "\n"
}

// pass lets time pass in which things are watched.
func pass(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

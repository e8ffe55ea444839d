// SPDX-License-Identifier: Apache-2.0

//go:build chromium

package dashboard

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

var (
	cluster  *suite.Cluster
	gateway  *stack.Gateway
	endpoint *receiver.Receiver
	// chromium is the browser that all specs share; each has its own profile.
	chromium context.Context
	// axe is axe-core, as it is put into pages.
	axe string
	// artefacts is where screenshots go.
	artefacts string
)

func TestInChromium(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Dashboard in Chromium")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	root, err := stack.Root(ctx)
	Expect(err).NotTo(HaveOccurred())
	artefacts = filepath.Join(root, "bin/dashboard")
	Expect(os.RemoveAll(artefacts)).To(Succeed())
	Expect(os.MkdirAll(artefacts, 0o755)).To(Succeed())
	script, err := os.ReadFile(filepath.Join(root, "test/dashboard/node_modules/axe-core/axe.min.js"))
	Expect(err).NotTo(HaveOccurred(), "make check-dashboard installs axe-core")
	axe = string(script)

	cluster = suite.Start(ctx, stack.Options{})
	gateway, endpoint = cluster.StartProduct(ctx, nil, nil)

	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("lang", "en-GB"), chromedp.Env("TZ=Europe/Berlin", "LANG=en_GB.UTF-8"),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	DeferCleanup(stop)
	var end context.CancelFunc
	chromium, end = chromedp.NewContext(allocator) //nolint:fatcontext // the browser lives as long as the suite
	DeferCleanup(end)
	Expect(chromedp.Do(chromium)).To(Succeed())
}, NodeTimeout(suite.StartTimeout))

// program is the browser.
func program() string {
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	return "chromium"
}

// everything lets a person use all of the dashboard.
var everything = []string{suite.Viewer, suite.DeliveryViewer, suite.Editor, suite.Publisher}

// exampleOf is the example event of a type.
func exampleOf(eventType string) string {
	GinkgoHelper()
	text, err := os.ReadFile("../../examples/events/" + eventType + ".json")
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// deliveries waits until so many of a namespace are in a state, and returns
// their ids, the newest first.
func deliveries(ctx context.Context, namespace string, state v1alpha1.DeliveryState, count int) (ids []string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		var list v1alpha1.WebhookDeliveryList
		g.Expect(cluster.Client.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
		ids = nil
		for _, item := range list.Items {
			if item.Status.State == state {
				ids = append(ids, identity.DeliveryID(item.Name, string(item.UID)))
			}
		}
		g.Expect(len(ids)).To(BeNumerically(">=", count), fmt.Sprint(len(list.Items)))
	}).Should(Succeed())
	return ids
}

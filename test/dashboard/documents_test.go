// SPDX-License-Identifier: Apache-2.0

//go:build chromium

package dashboard

import (
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// Every clone carries the image.
const (
	imageQuality  = 80 // percent
	heaviestImage = 150 << 10
)

var _ = Describe("the screenshots of the documents", func() {
	It("are taken anew", func(ctx SpecContext) {
		if os.Getenv("DOCUMENTS") == "" {
			Skip("make screenshots takes them")
		}
		namespace := cluster.NewNamespace(ctx, "shop")
		token := cluster.NewAccount(ctx, namespace, "person", everything...)
		endpoint.Script("/hooks/orders", receiver.Step{Status: http.StatusBadGateway, Body: "upstream orders-db is away", Delay: 400 * time.Millisecond},
			receiver.Step{Times: 2, Fault: receiver.Hang}, receiver.Step{Status: http.StatusServiceUnavailable, Body: "starting"})
		cluster.CreateWebhook(ctx, namespace, "orders", endpoint.URL("/hooks/orders"), func(w *v1alpha1.Webhook) {
			w.Spec.RetryPolicy.Delays = &[]metav1.Duration{{Duration: 2 * time.Second}, {Duration: 5 * time.Second}, {Duration: 10 * time.Second}, {Duration: 20 * time.Second}}
			w.Spec.RetryPolicy.Timeout = &metav1.Duration{Duration: 4 * time.Second}
		})
		suite.Post(ctx, gateway, "/v1/events", token, exampleOf("verification.completed"))
		Eventually(func() int { return endpoint.Counts("/hooks/orders").Posts }).WithTimeout(2 * time.Minute).Should(BeNumerically(">=", 4))
		id := deliveries(ctx, namespace, v1alpha1.DeliveryRetrying, 1)[0]
		t := signedIn(looks[0], token)
		command(t, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 1280, Height: 860, DeviceScaleFactor: 1.5})
		t.visit("/dashboard/ns/" + namespace + "/deliveries/" + id)
		t.shows("Attempt 4")
		image := command(t, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatWebp, Quality: new(int64(imageQuality))}).Data
		Expect(len(image)).To(BeNumerically("<", heaviestImage))
		Expect(os.MkdirAll("../../docs/images", 0o755)).To(Succeed())
		Expect(os.WriteFile(filepath.Join("../../docs/images", "dashboard.webp"), image, 0o644)).To(Succeed())
	}, SpecTimeout(3*time.Minute))
})

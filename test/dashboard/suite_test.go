// SPDX-License-Identifier: Apache-2.0

//go:build chromium

package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const (
	pollEvery = 50 * time.Millisecond
	soon      = 30 * time.Second
)

var (
	cluster  *stack.Stack
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

	cluster, err = stack.Start(ctx, stack.Options{ControlPlane: controlplane.Options{UnsafeNoFsync: true}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return cluster.Stop() })
	_, err = cluster.StartManager(ctx, stack.ManagerOptions{Supervise: true})
	Expect(err).NotTo(HaveOccurred())
	gateway, err = cluster.StartGateway(ctx, stack.GatewayOptions{Supervise: true})
	Expect(err).NotTo(HaveOccurred())
	endpoint, err = receiver.Start(receiver.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(endpoint.Close)

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
}, NodeTimeout(20*time.Minute))

// program is the browser.
func program() string {
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	return "chromium"
}

// everything lets a person use all of the dashboard.
var everything = []string{"bbmcp-viewer", "bbmcp-delivery-viewer", "bbmcp-editor", "bbmcp-publisher"}

// newNamespace makes one, whose name is to be seen in screenshots.
func newNamespace(ctx context.Context, name string) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	Expect(cluster.Client.Create(ctx, namespace)).To(Succeed())
	return name
}

func tokenFor(ctx context.Context, namespace string, roles ...string) string {
	GinkgoHelper()
	token, err := cluster.Token(ctx, namespace, "person", roles)
	Expect(err).NotTo(HaveOccurred())
	return token
}

// declare makes a webhook as kubectl would.
func declare(ctx context.Context, namespace, name, url string, change ...func(*v1alpha1.Webhook)) string {
	GinkgoHelper()
	webhook := &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.WebhookSpec{URL: url, Events: []string{"*"}, RetryPolicy: &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{}}},
	}
	for _, f := range change {
		f(webhook)
	}
	Expect(cluster.Client.Create(ctx, webhook)).To(Succeed())
	Eventually(ctx, func(g Gomega) {
		g.Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(webhook), webhook)).To(Succeed())
		g.Expect(webhook.Status.Signing).NotTo(BeNil())
	}).WithTimeout(soon).WithPolling(pollEvery).Should(Succeed())
	return identity.WebhookID(namespace, name)
}

// oneAttempt makes deliveries of a webhook fail at once.
func oneAttempt(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	webhook := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"retryPolicy":{"delays":[]}}}`))
	Expect(cluster.Client.Patch(ctx, webhook, patch)).To(Succeed())
}

// publish sends an event through the gateway.
func publish(ctx context.Context, token, body string) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, gateway.URL+"/v1/events", strings.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	Expect(response.StatusCode).To(Equal(http.StatusAccepted))
}

// retry asks for an attempt now, beside the page.
func retry(ctx context.Context, token, id string) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, gateway.URL+"/v1/deliveries/"+id+"/retry", nil)
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	Expect(response.StatusCode).To(Equal(http.StatusAccepted))
}

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
	}).WithTimeout(soon).WithPolling(pollEvery).Should(Succeed())
	return ids
}

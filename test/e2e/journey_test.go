// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	sdk "bbmcp.quietstack.com/webhooks/client"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/procstat"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// longestPause is what no publisher may wait for its 202.
const longestPause = 2 * time.Second

var _ = Describe("the chart on a real node", Ordered, func() {
	var (
		target endpoint
		api    *sdk.Client
	)

	It("is shown by make demo CLUSTER=current, which leaves nothing behind", SpecTimeout(5*time.Minute), func(ctx SpecContext) {
		showDemo(ctx)
	})

	It("is installed and Ready under Pod Security restricted", SpecTimeout(5*time.Minute), func(ctx SpecContext) {
		Expect(controlplane.Apply(ctx, node.ControlPlane.AdminConfig(), "../../config/namespace")).To(Succeed())
		began := time.Now()
		helm(ctx, append([]string{"install", release, "--values=values.yaml", "--wait", "--timeout=3m"}, released()...)...)
		waitRolledOut(ctx)
		said.row("`helm install` from a registry on this machine to every Pod Ready, the image pulled", time.Since(began))
		expectReleased(ctx)
		var namespace corev1.Namespace
		Expect(k8s.Get(ctx, client.ObjectKey{Name: system}, &namespace)).To(Succeed())
		Expect(namespace.Labels).To(HaveKeyWithValue("pod-security.kubernetes.io/enforce", "restricted"))
		for _, role := range []string{"manager", "gateway"} {
			some, err := pods(ctx, role)
			Expect(err).NotTo(HaveOccurred())
			Expect(some).To(HaveLen(2))
			for _, pod := range some {
				Expect(pod.Status.ContainerStatuses).To(HaveLen(1))
				Expect(pod.Status.InitContainerStatuses).To(HaveLen(1), "a native sidecar is an init container that goes on")
				Expect(pod.Status.ContainerStatuses[0].Ready).To(BeTrue())
				Expect(pod.Status.InitContainerStatuses[0].Ready).To(BeTrue())
				Expect(pod.Status.InitContainerStatuses[0].State.Running).NotTo(BeNil())
			}
		}
	})

	It("is left alone by make demo CLUSTER=current", SpecTimeout(time.Minute), func(ctx SpecContext) {
		out, err := demo(ctx, "--once", "--image="+os.Getenv("E2E_DEMO_IMAGE"))
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("is in the cluster of the context \"controlplane\" already, and the demo did not make it"))
		waitRolledOut(ctx)
	})

	It("gives the dispatchers no token", SpecTimeout(time.Minute), func(ctx SpecContext) {
		for _, role := range []string{"manager", "gateway"} {
			some, err := pods(ctx, role)
			Expect(err).NotTo(HaveOccurred())
			for _, pod := range some {
				found, _, err := tokensOf(process(ctx, &pod, role))
				Expect(err).NotTo(HaveOccurred())
				Expect(found).NotTo(BeEmpty(), "the same search finds the token of %s", role)
				found, files, err := tokensOf(process(ctx, &pod, "dispatcher"))
				Expect(err).NotTo(HaveOccurred())
				Expect(files).To(BeNumerically(">=", 3), "two programs and the authorities were looked into")
				Expect(found).To(BeEmpty())
			}
		}
	})

	It("delivers what is published through its Service, signed", SpecTimeout(3*time.Minute), func(ctx SpecContext) {
		makeTenant(ctx)
		target = startEndpoint(ctx)
		var service corev1.Service
		Expect(k8s.Get(ctx, client.ObjectKey{Namespace: system, Name: release + "-gateway"}, &service)).To(Succeed())
		api = newAPI(ctx, "http://"+service.Spec.ClusterIP, tenant, "publisher")
		declare(ctx, api, target, "first", "e2e.first")
		published, err := api.Publish(ctx, rest.EventPublish{Event: "e2e.first", Data: json.RawMessage(`{"total":1250}`)})
		Expect(err).NotTo(HaveOccurred())
		Expect(published.Deliveries).To(HaveLen(1))
		waitArrived(ctx, target, "first", 1)
		Expect(target.counts(ctx, "first")).To(Equal(receiver.Counts{Posts: 1, Verified: 1, Unique: 1, Accepted: 1}))
	})

	It("costs little while nothing happens", SpecTimeout(3*time.Minute), func(ctx SpecContext) {
		measureFootprint(ctx)
	})

	It("loses nothing and keeps no publisher waiting, whatever is replaced", SpecTimeout(15*time.Minute), func(ctx SpecContext) {
		for _, d := range disturbances() {
			declare(ctx, api, target, d.name, plain+d.name, checked+d.name)
		}
		declare(ctx, api, target, "steady", plain+"steady", checked+"steady")
		// Every fifth event goes to an endpoint that refuses every fourth post, too, so
		// that managers have work.
		declare(ctx, api, target, "flaky", "checked.*")
		// It refuses posts, not events: of five attempts all would be refused for one
		// event in a thousand.
		patient := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"retryPolicy":{"delays":[%s"2s"]}}}`, strings.Repeat(`"2s",`, 11)))
		Expect(k8s.Patch(ctx, &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: "flaky"}}, patient)).To(Succeed())
		waitSeen(ctx, "flaky")
		Expect(target.call(ctx, http.MethodPut, "_script", "/flaky", strings.Repeat("500, 200 x3, ", 4000)+"200", nil)).To(Succeed())
		load, err := os.ReadFile("/proc/loadavg")
		Expect(err).NotTo(HaveOccurred())
		said.row("load average before the disturbances, cores", fmt.Sprintf("%.4s, %d", load, runtime.NumCPU()))
		s := startStream(ctx, api)
		DeferCleanup(func() { s.end() })
		pass(ctx, 10*time.Second)
		for _, d := range disturbances() {
			s.begin(d.name)
			began := time.Now()
			d.do(ctx)
			waitRolledOut(ctx)
			took := time.Since(began)
			pass(ctx, 3*time.Second)
			GinkgoWriter.Printf("%s took %s\n", d.name, took)
			d.took(took)
			// What one disturbance holds up is not counted for the next.
			Eventually(ctx, s.outstanding).WithTimeout(soon).WithPolling(often).Should(BeNumerically("<", 10))
		}
		var wrong []error
		twice := 0
		for _, p := range s.end() {
			twice += p.checked()
			waitArrivedSoon(ctx, target, p.name, p.published)
			counts, err := target.counts(ctx, p.name)
			Expect(err).NotTo(HaveOccurred())
			said.row(fmt.Sprintf("%s: events, longest pause, missing, duplicates", p.name),
				fmt.Sprintf("%d, %s, %d, %d", p.published, p.longest.Round(time.Millisecond), p.published-counts.Accepted, counts.Duplicates))
			for _, failure := range p.failed {
				GinkgoWriter.Printf("%s: the SDK gave up: %s\n", p.name, failure)
			}
			if p.longest > longestPause {
				wrong = append(wrong, fmt.Errorf("%s: a publisher waited %s", p.name, p.longest))
			}
			if counts.Accepted != p.published || counts.Verified != counts.Posts || p.skipped > 0 {
				wrong = append(wrong, fmt.Errorf("%s: %d published, %d skipped, arrived: %+v", p.name, p.published, p.skipped, counts))
			}
		}
		waitArrivedSoon(ctx, target, "flaky", twice)
		flaky, err := target.counts(ctx, "flaky")
		Expect(err).NotTo(HaveOccurred())
		said.row("every fifth of them, to an endpoint that refuses every fourth post: events, missing, duplicates",
			fmt.Sprintf("%d, %d, %d", twice, twice-flaky.Accepted, flaky.Duplicates))
		Expect(errors.Join(wrong...)).NotTo(HaveOccurred())
		Expect(flaky.Accepted).To(Equal(twice))
		Expect(flaky.Posts).To(BeNumerically(">", twice), "something was refused and repeated")
	})

	It("leaves CRDs and users' objects when it is uninstalled", SpecTimeout(3*time.Minute), func(ctx SpecContext) {
		var before, after v1alpha1.WebhookList
		Expect(k8s.List(ctx, &before, client.InNamespace(tenant))).To(Succeed())
		Expect(before.Items).NotTo(BeEmpty())
		helm(ctx, "uninstall", release, "--wait", "--timeout=2m")
		waitGone(ctx)
		crds := &metav1.PartialObjectMetadataList{}
		crds.SetGroupVersionKind(schema.GroupVersionKind{Group: apiextensionsv1.GroupName, Version: "v1", Kind: "CustomResourceDefinitionList"})
		Expect(k8s.List(ctx, crds)).To(Succeed())
		ours := slices.DeleteFunc(crds.Items, func(crd metav1.PartialObjectMetadata) bool {
			return !strings.HasSuffix(crd.Name, ".bbmcp.quietstack.com")
		})
		Expect(ours).To(HaveLen(3))
		Expect(k8s.List(ctx, &after, client.InNamespace(tenant))).To(Succeed())
		Expect(after.Items).To(HaveLen(len(before.Items)))
	})

	It("is installed by Helm 3 as well, where Helm 4 left CRDs", SpecTimeout(5*time.Minute), func(ctx SpecContext) {
		runHelm(ctx, "helm3", append([]string{"install", release, "--values=values.yaml", "--wait", "--timeout=3m"}, released()...)...)
		waitRolledOut(ctx)
		expectReleased(ctx)
		runHelm(ctx, "helm3", "uninstall", release, "--wait", "--timeout=2m")
		waitGone(ctx)
	})
})

// disturbance is something that operators do, or that happens to them.
type disturbance struct {
	name, what string
	do         func(context.Context)
}

func (d disturbance) took(took time.Duration) { said.row(d.what+": until all is Ready again", took) }

func disturbances() []disturbance {
	return []disturbance{
		{"restart", "`kubectl rollout restart` of both Deployments", restart},
		{"leader", "`kubectl delete pod` of the leader", deleteLeader},
		{"sidecar", "a dispatcher of each role killed", killSidecars},
		{"upgrade", "`helm upgrade` with changed values", func(ctx context.Context) {
			helm(ctx, append([]string{"upgrade", release, "--values=values.yaml", "--wait", "--timeout=3m",
				"--set=dispatcher.flags.response-snippet=false", "--set=gateway.replicas=3"}, released()...)...)
		}},
		{"rollback", "`helm rollback`", func(ctx context.Context) {
			helm(ctx, "rollback", release, "1", "--wait", "--timeout=3m")
		}},
	}
}

// restart does what kubectl rollout restart does.
func restart(ctx context.Context) {
	GinkgoHelper()
	for _, role := range []string{"manager", "gateway"} {
		patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339))
		deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: release + "-" + role}}
		Expect(k8s.Patch(ctx, deployment, client.RawPatch("application/strategic-merge-patch+json", []byte(patch)))).To(Succeed())
	}
}

func deleteLeader(ctx context.Context) {
	GinkgoHelper()
	old, err := leader(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(k8s.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: old}})).To(Succeed())
	Eventually(ctx, leader).WithTimeout(soon).WithPolling(often).ShouldNot(Equal(old))
}

// killSidecars kills the dispatcher of the leader and of a gateway, and returns
// when kubelet has started them again.
func killSidecars(ctx context.Context) {
	GinkgoHelper()
	name, err := leader(ctx)
	Expect(err).NotTo(HaveOccurred())
	gateways, err := pods(ctx, "gateway")
	Expect(err).NotTo(HaveOccurred())
	for _, victim := range []string{name, gateways[0].Name} {
		var pod corev1.Pod
		key := client.ObjectKey{Namespace: system, Name: victim}
		Expect(k8s.Get(ctx, key, &pod)).To(Succeed())
		restarts := pod.Status.InitContainerStatuses[0].RestartCount
		Expect(syscall.Kill(process(ctx, &pod, "dispatcher"), syscall.SIGKILL)).To(Succeed())
		Eventually(ctx, func(g Gomega, ctx context.Context) {
			g.Expect(k8s.Get(ctx, key, &pod)).To(Succeed())
			status := pod.Status.InitContainerStatuses[0]
			g.Expect(status.RestartCount).To(BeNumerically(">", restarts))
			g.Expect(status.Ready).To(BeTrue())
		}).WithTimeout(soon).WithPolling(often).Should(Succeed())
	}
}

// declare makes a webhook by REST and waits until it is ready.
func declare(ctx context.Context, api *sdk.Client, target endpoint, name string, events ...string) {
	GinkgoHelper()
	_, err := api.CreateWebhook(ctx, rest.WebhookCreate{Name: name, URL: target.url(name), Events: events, Secret: secret})
	Expect(err).NotTo(HaveOccurred())
	waitSeen(ctx, name)
}

// waitSeen returns when the manager has seen a webhook as it is.
func waitSeen(ctx context.Context, name string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega, ctx context.Context) {
		var hook v1alpha1.Webhook
		g.Expect(k8s.Get(ctx, client.ObjectKey{Namespace: tenant, Name: name}, &hook)).To(Succeed())
		g.Expect(hook.Status.ObservedGeneration).To(Equal(hook.Generation))
	}).WithTimeout(soon).WithPolling(often).Should(Succeed())
}

func waitArrived(ctx context.Context, target endpoint, path string, count int) {
	GinkgoHelper()
	Eventually(ctx, func(ctx context.Context) (int, error) {
		counts, err := target.counts(ctx, path)
		return counts.Accepted, err
	}).WithTimeout(soon).WithPolling(often).Should(Equal(count))
}

// waitArrivedSoon gives up without failing: the table says what is missing.
func waitArrivedSoon(ctx context.Context, target endpoint, path string, count int) {
	for deadline := time.Now().Add(soon); time.Now().Before(deadline); pass(ctx, often) {
		if counts, err := target.counts(ctx, path); err == nil && counts.Accepted >= count {
			return
		}
	}
}

// measureFootprint writes what each container takes while idle for a minute.
func measureFootprint(ctx context.Context) {
	GinkgoHelper()
	const idle = time.Minute
	type container struct {
		name string
		pid  int
		used time.Duration
	}
	var all []container
	first, err := leader(ctx)
	Expect(err).NotTo(HaveOccurred())
	for _, role := range []string{"manager", "gateway"} {
		some, err := pods(ctx, role)
		Expect(err).NotTo(HaveOccurred())
		for _, pod := range some {
			title := role
			if pod.Name == first {
				title = "manager that leads"
			}
			for name, of := range map[string]string{role: title, "dispatcher": "dispatcher of " + title} {
				pid := process(ctx, &pod, name)
				used, err := procstat.CPU(pid)
				Expect(err).NotTo(HaveOccurred())
				all = append(all, container{of, pid, used})
			}
		}
	}
	pass(ctx, idle)
	slices.SortFunc(all, func(a, b container) int { return strings.Compare(a.name, b.name) })
	for _, c := range all {
		used, err := procstat.CPU(c.pid)
		Expect(err).NotTo(HaveOccurred())
		memory, err := procstat.ReadMemory(c.pid)
		Expect(err).NotTo(HaveOccurred())
		said.row("idle for a minute: "+c.name, fmt.Sprintf("%.0f MiB, %.1f millicores", float64(memory.Now)/(1<<20), float64(used-c.used)/float64(idle)*1000))
	}
}

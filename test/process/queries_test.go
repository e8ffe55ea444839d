// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

const monitoring = "../../charts/bbmcp-webhooks/monitoring/"

// queries are those of alerts and dashboard, by alert or panel.
func queries() map[string][]string {
	GinkgoHelper()
	var alerts struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	for file, into := range map[string]any{"alerts.yaml": &alerts, "dashboard.json": &dashboard} {
		text, err := os.ReadFile(monitoring + file)
		Expect(err).NotTo(HaveOccurred())
		Expect(yaml.Unmarshal(text, into)).To(Succeed())
	}
	all := map[string][]string{}
	for _, group := range alerts.Groups {
		for _, rule := range group.Rules {
			all[rule.Alert] = append(all[rule.Alert], rule.Expr)
		}
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all[panel.Title] = append(all[panel.Title], target.Expr)
		}
	}
	Expect(len(all)).To(BeNumerically(">", 20))
	return all
}

// series are labels and their values of what was scraped, by name of the metric
// as a query spells it.
type series map[string][]map[string]string

func (s series) add(samples stack.Samples) {
	for name, family := range samples {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, pair := range metric.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			if metric.GetHistogram() != nil {
				labels["le"] = "+Inf"
				s[name+"_bucket"] = append(s[name+"_bucket"], labels)
			}
			s[name] = append(s[name], labels)
		}
	}
}

var (
	selector = regexp.MustCompile(`\b((?:bbmcp|leader_election)_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(=~|!=|!~|=)"([^"]*)"`)
	grouping = regexp.MustCompile(`by \(([^)]*)\)`)
)

// unmet lists what a query asks for and nothing exposes. Values that only a
// fault brings about are looked for by the name of their label.
func (s series) unmet(query string, rare []string) (missing []string) {
	groups := []string{}
	for _, by := range grouping.FindAllStringSubmatch(query, -1) {
		groups = append(groups, strings.Split(by[1], ", ")...)
	}
	grouped := map[string]bool{}
	for _, asked := range selector.FindAllStringSubmatch(query, -1) {
		found := slices.ContainsFunc(s[asked[1]], func(labels map[string]string) bool {
			for _, want := range matcher.FindAllStringSubmatch(asked[2], -1) {
				got, ok := labels[want[1]]
				if !ok || want[2] == "=" && got != want[3] && !slices.Contains(rare, want[3]) {
					return false
				}
			}
			for _, group := range groups {
				_, ok := labels[group]
				grouped[group] = grouped[group] || ok
			}
			return true
		})
		if !found {
			missing = append(missing, asked[0])
		}
	}
	for _, group := range groups {
		if !grouped[group] {
			missing = append(missing, "by "+group)
		}
	}
	return missing
}

var _ = Describe("the queries of alerts and dashboard", func() {
	It("find what the running binaries expose", SpecTimeout(3*time.Minute), func(ctx SpecContext) {
		authority, err := receiver.NewAuthority()
		Expect(err).NotTo(HaveOccurred())
		certificate, err := authority.Issue(time.Now().Add(24*time.Hour), "127.0.0.1")
		Expect(err).NotTo(HaveOccurred())
		bundle := filepath.Join(GinkgoT().TempDir(), "ca.crt")
		Expect(os.WriteFile(bundle, authority.PEM(), 0o600)).To(Succeed())
		t := newTenant(ctx, receiver.Options{Certificate: certificate})
		trusting := []string{"--ca-bundle=" + bundle}
		options := supervised()
		options.DispatcherArgs = trusting
		leader := startLeader(ctx, options)

		once := func(spec *v1alpha1.WebhookSpec) {
			spec.RetryPolicy = &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{}}
		}
		held := func(spec *v1alpha1.WebhookSpec) { spec.Suspend = true }
		t.endpoint.Script("/failing", receiver.Step{Status: 500})
		t.endpoint.Script("/gone", receiver.Step{Status: http.StatusGone})
		t.endpoint.Script("/slow", receiver.Step{Delay: 2 * time.Second})
		failing, gone := t.declare(ctx, "failing", once), t.declare(ctx, "gone", once)
		full := t.declare(ctx, "full", held)
		t.ready(ctx, failing, gone, full, t.declare(ctx, "well"), t.declare(ctx, "slow"))
		e := newEmitterOf(ctx, t, stack.GatewayOptions{
			Supervise: true, Args: []string{"--allow-unregistered-event-types", "--backlog-per-webhook=3"}, DispatcherArgs: trusting,
		})
		for n := range 6 {
			status, answer := e.post(ctx, fmt.Sprintf("query-%d", n), "")
			Expect(status).To(Equal(http.StatusAccepted), answer)
		}
		Eventually(ctx, func(g Gomega) {
			g.Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(gone), gone)).To(Succeed())
			g.Expect(gone.Status.State).To(Equal(v1alpha1.WebhookDisabled))
			g.Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(failing), failing)).To(Succeed())
			g.Expect(meta.IsStatusConditionFalse(failing.Status.Conditions, v1alpha1.ConditionEndpointHealthy)).To(BeTrue())
		}).Should(Succeed())

		// Only writes that the API server refuses for good are counted so.
		rare := []string{"refused"}
		Eventually(ctx, func(g Gomega) {
			all := series{}
			for _, url := range []string{leader.MetricsURL, leader.DispatcherMetricsURL, e.front.MetricsURL, e.front.DispatcherMetricsURL} {
				samples, err := stack.Scrape(ctx, url)
				g.Expect(err).NotTo(HaveOccurred())
				all.add(samples)
			}
			for name, expressions := range queries() {
				for _, query := range expressions {
					g.Expect(all.unmet(query, rare)).To(BeEmpty(), "%s: %s", name, query)
				}
			}
		}).WithPolling(10 * suite.PollEvery).Should(Succeed())
	})
})

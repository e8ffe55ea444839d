// SPDX-License-Identifier: Apache-2.0

package policies

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/procstat"
)

const (
	// perRound is how many deliveries are created, by so many writers, before the
	// clock is read again, which goes by hundredths of a second.
	perRound, writers = 2000, 4
	payloadBytes      = 1 << 10
)

// BenchmarkPolicies measures what the policies add to the API server's CPU for
// each delivery that is created, by the gateway and by hand. Each iteration is a
// round without the bindings and one with them, in turns first, of creates that are
// not stored: those cost the same but for etcd and for the garbage of what is kept,
// and do not drown the difference. It prints what a create costs that is stored,
// and the median of the rounds' differences, also as a part of that, with its
// quartiles. Run it with -benchtime=12x on a machine that does nothing else.
func BenchmarkPolicies(b *testing.B) {
	c := newCluster(b, values)
	c.populate(b)
	hook := c.webhook(b, "orders")
	for name, account := range map[string]string{"gateway": "hooks-bbmcp-gateway", "by hand": "writer"} {
		b.Run(name, func(b *testing.B) {
			m := &meter{c: c, as: c.account(b, account), hook: hook, byGateway: name == "gateway"}
			c.bind(b, false)
			m.round(b, true) // what is compiled and grows once
			stored := m.round(b, true)
			var added []float64
			for i := 0; b.Loop(); i++ {
				var cost [2]float64
				for _, with := range [2]bool{i%2 == 0, i%2 != 0} {
					c.bind(b, with)
					m.round(b, false) // the API server compiles the policies anew
					cost[index(with)] = m.round(b, false)
				}
				added = append(added, cost[1]-cost[0])
			}
			c.bind(b, true)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(stored, "ms/create")
			b.ReportMetric(1000*quantile(added, 2), "µs-added")
			b.ReportMetric(100*quantile(added, 1)/stored, "%added-quartile1")
			b.ReportMetric(100*quantile(added, 2)/stored, "%added")
			b.ReportMetric(100*quantile(added, 3)/stored, "%added-quartile3")
		})
	}
}

func index(with bool) int {
	if with {
		return 1
	}
	return 0
}

// quantile is the value below which so many quarters of all are.
func quantile(all []float64, quarters int) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[quarters*(len(all)-1)/4]
}

// meter creates deliveries and reads the API server's clock.
type meter struct {
	c         *cluster
	as        client.Client
	hook      []metav1.OwnerReference
	byGateway bool
	serial    atomic.Int64
}

// round returns the milliseconds of the API server's CPU for each create.
func (m *meter) round(b testing.TB, storing bool) float64 {
	b.Helper()
	var options []client.CreateOption
	if !storing {
		options = append(options, client.DryRunAll)
	}
	before := cpu(b, m.c.apiServer())
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range perRound / writers {
				if err := m.as.Create(b.Context(), m.delivery(), options...); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return float64((cpu(b, m.c.apiServer()) - before).Microseconds()) / 1000 / (perRound / writers * writers)
}

func (m *meter) delivery() *v1alpha1.WebhookDelivery {
	d := newDelivery(fmt.Sprintf("cost-%t-%d", m.byGateway, m.serial.Add(1)))
	d.Spec.Payload = strings.Replace(d.Spec.Payload, "{}", `{"a":"`+strings.Repeat("x", payloadBytes)+`"}`, 1)
	if m.byGateway {
		fromGateway(d)
		withFirstAttempt(d)
		d.OwnerReferences = m.hook
	}
	return d
}

// account is a client with the token of a ServiceAccount of the system's namespace.
func (c *cluster) account(b testing.TB, name string) client.Client {
	b.Helper()
	if name == "writer" {
		c.create(b, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: name}})
		c.grant(b, "cluster-admin", "system:serviceaccount:"+system+":"+name)
	}
	config, err := c.plane.ServiceAccountConfig(b.Context(), system, name, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	config = rest.CopyConfig(config)
	config.QPS = -1
	as, err := client.New(config, client.Options{Scheme: c.scheme})
	if err != nil {
		b.Fatal(err)
	}
	return as
}

// bind puts the policies in force, or takes them out of it.
func (c *cluster) bind(t testing.TB, with bool) {
	t.Helper()
	for _, name := range []string{"deliveries", "status", "secrets", "service-accounts"} {
		name = "hooks-bbmcp-" + name
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}}
		var err error
		if with {
			binding.Spec = admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}}
			err = client.IgnoreAlreadyExists(c.admin.Create(t.Context(), binding))
		} else {
			err = client.IgnoreNotFound(c.admin.Delete(t.Context(), binding))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	someone := c.as(t, operator)
	c.eventually(t, func() bool {
		return isRefusal(someone.Create(t.Context(), newDelivery("probe", withFirstAttempt), client.DryRunAll)) == with
	})
}

// cpu is what a process has used so far.
func cpu(t testing.TB, pid int) time.Duration {
	t.Helper()
	used, err := procstat.CPU(pid)
	if err != nil {
		t.Skip(err)
	}
	return used
}

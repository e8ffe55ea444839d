// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// cluster is what all specs share: a control plane, a receiver and a dispatcher.
// Each spec has a namespace and paths of its own.
var cluster struct {
	cp       *controlplane.ControlPlane
	admin    client.Client // all rights, no cache
	scheme   *runtime.Scheme
	receiver *receiver.Receiver
	sender   *dispatcher.Client
	serial   atomic.Int64
}

const (
	// soon is for what takes moments on a machine that is not busy.
	soon = 20 * time.Second
	// pollEvery is the pause between two looks.
	pollEvery = 20 * time.Millisecond
)

func TestReconcilers(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(soon)
	SetDefaultEventuallyPollingInterval(pollEvery)
	EnforceDefaultTimeoutsWhenUsingContexts()
	RunSpecs(t, "Reconcilers")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(GinkgoLogr)
	cluster.scheme = runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(cluster.scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(cluster.scheme)).To(Succeed())

	var err error
	cluster.cp, err = controlplane.Start(ctx, controlplane.Options{
		UnsafeNoFsync: true, Manifests: []string{"../config/crd/bases"},
		Progress: func(text string) { GinkgoWriter.Println(text) },
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return cluster.cp.Stop() })
	config := cluster.cp.AdminConfig()
	config.QPS = -1
	cluster.admin, err = client.New(config, client.Options{Scheme: cluster.scheme})
	Expect(err).NotTo(HaveOccurred())
	for _, list := range []client.ObjectList{&v1alpha1.WebhookList{}, &v1alpha1.WebhookDeliveryList{}, &v1alpha1.EventTypeList{}} {
		Eventually(func() error { return cluster.admin.List(ctx, list) }).Should(Succeed(), "discovery shows a new group a little later")
	}

	cluster.receiver, err = receiver.Start(receiver.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(cluster.receiver.Close)
	startDispatcher()
}, NodeTimeout(20*time.Minute))

// startDispatcher serves a real dispatcher on a unix socket.
func startDispatcher() {
	sender, err := dispatcher.NewSender(dispatcher.SenderOptions{
		Policy:    netguard.New(netguard.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true}),
		UserAgent: "BBMCP-Webhooks/test", ExplainAllowed: true,
	})
	Expect(err).NotTo(HaveOccurred())
	dir, err := os.MkdirTemp("", "bbmcp-") // short: sockets have at most 107 bytes
	Expect(err).NotTo(HaveOccurred())
	socket := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	Expect(err).NotTo(HaveOccurred())
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- dispatcher.NewServer(sender, nil).Serve(ctx, listener, time.Second) }()
	cluster.sender = dispatcher.NewClient(socket)
	DeferCleanup(func() error {
		stop()
		<-served // attempts that specs left hanging are cut off
		return os.RemoveAll(dir)
	})
}

// newNamespace makes a namespace; its name is also a path of the receiver.
func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	name := fmt.Sprintf("spec-%d", cluster.serial.Add(1))
	Expect(cluster.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
	return name
}

// newWebhookIn is a Webhook whose endpoint is the receiver's path of the namespace.
// Its retries come quickly.
func newWebhookIn(namespace string, changes ...func(*v1alpha1.Webhook)) *v1alpha1.Webhook {
	webhook := &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders"},
		Spec: v1alpha1.WebhookSpec{
			URL: cluster.receiver.URL("/" + namespace), Events: []string{"*"},
			RetryPolicy: delays(10*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond),
		},
	}
	for _, change := range changes {
		change(webhook)
	}
	return webhook
}

// newDeliveryIn is a delivery to hookIn, as applied by hand.
func newDeliveryIn(namespace, name string, changes ...func(*v1alpha1.WebhookDelivery)) *v1alpha1.WebhookDelivery {
	delivery := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.WebhookDeliverySpec{
			WebhookRef: v1alpha1.WebhookReference{Name: "orders"},
			EventID:    "evt_" + name, EventType: "context.created",
			Payload: `{"event":"context.created","timestamp":"2026-03-01T12:00:00Z","data":{"name":"` + name + `"}}`,
		},
	}
	for _, change := range changes {
		change(delivery)
	}
	return delivery
}

// byGateway marks a delivery as made by the gateway for this webhook.
func byGateway(webhook *v1alpha1.Webhook) func(*v1alpha1.WebhookDelivery) {
	return func(d *v1alpha1.WebhookDelivery) {
		owned(webhook)(d)
		d.OwnerReferences[0].BlockOwnerDeletion = nil
		d.Labels = map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway}
	}
}

func create[T client.Object](ctx context.Context, object T) T {
	GinkgoHelper()
	Expect(cluster.admin.Create(ctx, object)).To(Succeed())
	return object
}

// fresh returns the object as it is now.
func fresh[T client.Object](ctx context.Context, object T) T {
	GinkgoHelper()
	Expect(cluster.admin.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
	return object
}

// change applies a change to an object as it is now.
func change[T client.Object](ctx context.Context, object T, apply func(T)) {
	GinkgoHelper()
	Eventually(func() error {
		if err := cluster.admin.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		apply(object)
		return cluster.admin.Update(ctx, object)
	}).Should(Succeed())
}

func annotate(ctx context.Context, object client.Object, key, value string) {
	GinkgoHelper()
	change(ctx, object, func(o client.Object) {
		annotations := o.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[key] = value
		o.SetAnnotations(annotations)
	})
}

// state polls the state and reason of a delivery: Eventually(state(…)).
func state(ctx context.Context, delivery *v1alpha1.WebhookDelivery) func() string {
	return func() string {
		var now v1alpha1.WebhookDelivery
		if err := cluster.admin.Get(ctx, client.ObjectKeyFromObject(delivery), &now); err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%s %s %d", now.Status.State, succeededReason(&now), now.Status.Attempts)
	}
}

// ready polls status and reason of the condition Ready.
func ready(ctx context.Context, webhook *v1alpha1.Webhook) func() string {
	return func() string {
		var now v1alpha1.Webhook
		if err := cluster.admin.Get(ctx, client.ObjectKeyFromObject(webhook), &now); err != nil {
			return err.Error()
		}
		condition := meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionReady)
		if condition == nil || now.Status.ObservedGeneration != now.Generation {
			return "not seen"
		}
		return string(condition.Status) + " " + condition.Reason
	}
}

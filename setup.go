// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/onepass"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
	"bbmcp.quietstack.com/webhooks/internal/version"
)

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// newMapper knows the kinds that we use by itself. Asking the API server for them
// would make a process that starts while it is away end, again and again, and
// wait longer each time to be started anew.
func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	add := func(kind schema.GroupVersionKind, scope meta.RESTScope) {
		mapper.Add(kind, scope)
		// A cache of some namespaces looks the kinds of lists up, too.
		mapper.Add(kind.GroupVersion().WithKind(kind.Kind+"List"), scope)
	}
	add(v1alpha1.GroupVersion.WithKind("Webhook"), meta.RESTScopeNamespace)
	add(v1alpha1.GroupVersion.WithKind("WebhookDelivery"), meta.RESTScopeNamespace)
	add(v1alpha1.GroupVersion.WithKind("EventType"), meta.RESTScopeRoot)
	add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	add(corev1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	add(discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), meta.RESTScopeNamespace)
	return mapper
}

// restConfig reads the API server's address and our credentials. The client
// does not limit itself: what is written for each delivery is bounded by design,
// and the API server has priority and fairness.
func restConfig(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	config.QPS = -1
	config.UserAgent = "bbmcp-webhooks/" + version.Version
	onepass.Wrap(config)
	return config, nil
}

// newClient makes a client of the API server that reads the answers to our writes
// in one pass.
func newClient(config *rest.Config, options client.Options) (client.WithWatch, error) {
	if options.HTTPClient == nil {
		var err error
		if options.HTTPClient, err = rest.HTTPClientFor(config); err != nil {
			return nil, err
		}
	}
	inner, err := client.NewWithWatch(config, options)
	if err != nil {
		return nil, err
	}
	return onepass.NewClient(inner, config, options.HTTPClient)
}

// startTraces makes a Tracer if the environment asks for traces; nil if not. stop
// sends the last spans.
func startTraces(ctx context.Context, service string, logger *slog.Logger) (tracer *tracing.Tracer, stop func(), err error) {
	tracer, err = tracing.Start(ctx, service, os.Getenv, logger)
	return tracer, func() {
		if err := tracer.Close(); err != nil {
			logger.Warn("the last spans are lost", "cause", err)
		}
	}, err
}

// guard keeps a panic over one input from ending the process, also where client-go
// handles it: its goroutines would end the process after they have logged what was
// panicked with, which may hold anything.
func guard(logger *slog.Logger) *panics.Guard {
	guard := panics.New(metrics.Registry, logger)
	utilruntime.ReallyCrash = false
	utilruntime.PanicHandlers = []func(context.Context, any){func(_ context.Context, value any) { _ = guard.Recovered(panics.Background, value) }}
	return guard
}

// setLogger makes everything log JSON lines to stderr.
func setLogger(level string) (*slog.Logger, error) {
	logger, err := newLogger(os.Stderr, level)
	if err != nil {
		return nil, err
	}
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	klog.SetLogger(logr.FromSlogHandler(logger.Handler()))
	return logger, nil
}

func newLogger(w io.Writer, level string) (*slog.Logger, error) {
	var parsed slog.Level
	if err := parsed.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: use debug, info, warn or error", level)
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: parsed})), nil
}

const (
	accessLogBytes = 64 << 10
	accessLogDelay = 100 * time.Millisecond
)

// newAccessLog writes lines that come by the thousand a second with few system
// calls, at most accessLogDelay late; flush writes those that are left.
func newAccessLog(level string) (logger *slog.Logger, flush func(), err error) {
	buffered := &zapcore.BufferedWriteSyncer{WS: zapcore.Lock(os.Stderr), Size: accessLogBytes, FlushInterval: accessLogDelay}
	logger, err = newLogger(buffered, level)
	return logger, func() { _ = buffered.Stop() }, err // nobody is left to tell
}

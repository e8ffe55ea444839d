// SPDX-License-Identifier: Apache-2.0

package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leaseName is the Lease by which replicas agree on a leader.
const leaseName = "bbmcp-webhooks"

// podNamespaceFile says where a Pod runs.
const podNamespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;create;update,namespace=bbmcp-system

// lease is the leader's Lease with the time of its last renewal. A process that was
// stopped and goes on later must not start attempts before it learns that another
// process leads.
type lease struct {
	resourcelock.Interface

	freshFor time.Duration
	base     time.Time
	renewed  atomic.Int64 // when the last renewal that succeeded began, since base; 0: never
}

// podNamespace is the namespace of the Pod that this process runs in; "": it is in none.
func podNamespace() string {
	text, err := os.ReadFile(podNamespaceFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// newLease returns nil without leader election.
func (o *managerOptions) newLease(config *rest.Config) (*lease, error) {
	if !o.leaderElect {
		return nil, nil // nil is a lease that is always fresh
	}
	namespace := cmp.Or(o.leaderElectionNamespace, podNamespace())
	if namespace == "" {
		return nil, errors.New("--leader-election-namespace is needed outside a Pod")
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this replica: %w", err)
	}
	quick := rest.CopyConfig(config)
	quick.Timeout = max(time.Second, o.renewDeadline/2)
	clients, err := kubernetes.NewForConfig(quick)
	if err != nil {
		return nil, fmt.Errorf("set up lease: %w", err)
	}
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, namespace, leaseName, clients.CoreV1(), clients.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())})
	if err != nil {
		return nil, fmt.Errorf("set up lease: %w", err)
	}
	return &lease{Interface: lock, freshFor: o.renewDeadline, base: time.Now()}, nil
}

// Create implements resourcelock.Interface.
func (l *lease) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.noteRenewal(func() error { return l.Interface.Create(ctx, record) })
}

// Update implements resourcelock.Interface.
func (l *lease) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.noteRenewal(func() error { return l.Interface.Update(ctx, record) })
}

func (l *lease) noteRenewal(write func() error) error {
	began := time.Since(l.base)
	err := write()
	if err == nil {
		l.renewed.Store(int64(max(began, 1)))
	}
	return err
}

// isFresh reports whether no other replica can have become leader; always true without
// leader election.
func (l *lease) isFresh() bool {
	if l == nil {
		return true
	}
	renewed := l.renewed.Load()
	return renewed > 0 && time.Since(l.base)-time.Duration(renewed) < l.freshFor
}

// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// lister lists what it holds.
type lister struct {
	client.Reader
	addresses []string
	err       error
}

func (s *lister) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if s.err != nil {
		return s.err
	}
	list.(*discoveryv1.EndpointSliceList).Items = []discoveryv1.EndpointSlice{{Endpoints: []discoveryv1.Endpoint{{Addresses: s.addresses}}}}
	return nil
}

func texts(prefixes []netip.Prefix) []string {
	out := []string{}
	for _, prefix := range prefixes {
		out = append(out, prefix.String())
	}
	return out
}

func want(t *testing.T, a *Addresses, complete bool, prefixes ...string) {
	t.Helper()
	if got := texts(a.Forbidden()); !reflect.DeepEqual(got, append([]string{}, prefixes...)) || a.Complete() != complete {
		t.Errorf("got %v, complete %v; want %v, %v", got, a.Complete(), prefixes, complete)
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, server, service string
		want                  []string
	}{
		{"in a Pod", "https://10.96.0.1:443", "10.96.0.1", []string{"10.96.0.1", "10.96.0.1"}},
		{"in a Pod, IPv6", "https://[fd00::1]:443", "fd00::1", []string{"fd00::1", "fd00::1"}},
		{"in a Pod with a kubeconfig", "https://api.example.com:6443", "10.96.0.1", []string{"api.example.com", "10.96.0.1"}},
		{"a kubeconfig with a path", "https://rancher.example.com/k8s/clusters/c-1", "", []string{"rancher.example.com"}},
		{"host and port", "10.1.2.3:6443", "", []string{"10.1.2.3"}},
		{"a host alone", "10.1.2.3", "", []string{"10.1.2.3"}},
		{"a developer's machine", "https://127.0.0.1:6443", "", nil},
		{"a developer's machine, IPv6", "https://[::1]:6443", "", nil},
		{"a developer's machine by name", "https://localhost:6443", "", nil},
		{"nothing", "", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			getenv := func(key string) string { return map[string]string{ServiceHost: test.service}[key] }
			if got := Hosts(test.server, getenv); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestWhatIsForbiddenWhen(t *testing.T) {
	t.Parallel()
	denied := apierrors.NewForbidden(schema.GroupResource{Resource: "endpointslices"}, "", errors.New("no"))
	away := errors.New("connection refused")
	noName := errors.New("no such host")
	listed := &lister{}
	names := map[string][]netip.Addr{"api.example.com": {netip.MustParseAddr("34.1.2.3"), netip.MustParseAddr("::ffff:34.1.2.4"), netip.MustParseAddr("127.0.0.1")}}
	a := &Addresses{Live: listed, Hosts: []string{"10.96.0.1", "api.example.com"}, LookUp: func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if addrs, ok := names[host]; ok {
			return addrs, nil
		}
		return nil, noName
	}}
	want(t, a, false, "10.96.0.1/32") // at once

	listed.err = away
	if err := a.Refresh(t.Context()); !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
	want(t, a, false, "10.96.0.1/32", "34.1.2.3/32", "34.1.2.4/32")

	listed.err, listed.addresses = nil, []string{"172.18.0.2", "172.18.0.3", "not an address"}
	if err := a.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	want(t, a, true, "10.96.0.1/32", "34.1.2.3/32", "34.1.2.4/32", "172.18.0.2/32", "172.18.0.3/32")

	listed.err = away // the last known stay
	names = nil
	if err := a.Refresh(t.Context()); !errors.Is(err, away) || !errors.Is(err, noName) {
		t.Errorf("got %v", err)
	}
	want(t, a, true, "10.96.0.1/32", "34.1.2.3/32", "34.1.2.4/32", "172.18.0.2/32", "172.18.0.3/32")

	// Without the right to list, what is known beforehand is all that can be known.
	alone := &Addresses{Live: &lister{err: denied}, Hosts: []string{"fd00::1"}}
	want(t, alone, false, "fd00::1/128")
	if err := alone.Refresh(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("got %v", err)
	}
	want(t, alone, true, "fd00::1/128")
}

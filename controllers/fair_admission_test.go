// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestFairAdmissionKeepsTheOrder(t *testing.T) {
	p := newFairAdmission(2)
	name := func(i int) types.NamespacedName {
		return types.NamespacedName{Namespace: "ns", Name: fmt.Sprint(i)}
	}
	var begun []string
	for i := range 5 {
		if p.admit(name(i)) {
			begun = append(begun, name(i).Name)
		}
	}
	if want := []string{"0", "1"}; !slices.Equal(begun, want) {
		t.Fatalf("begun at once: %v, want %v", begun, want)
	}
	for _, end := range []int{1, 0, 2, 3, 4} {
		if next, ok := p.release(name(end)); ok {
			begun = append(begun, next.Name)
		}
	}
	if want := []string{"0", "1", "2", "3", "4"}; !slices.Equal(begun, want) {
		t.Errorf("begun in all: %v, want %v", begun, want)
	}
	if len(p.admitted) > 0 || len(p.waiting) > 0 {
		t.Errorf("left over: %v have a turn, %v wait", p.admitted, p.waiting)
	}
}

func TestFairAdmissionReleasesOnlyTheAdmitted(t *testing.T) {
	p := newFairAdmission(1)
	first, second, other := types.NamespacedName{Name: "first"}, types.NamespacedName{Name: "second"}, types.NamespacedName{Name: "other"}
	if !p.admit(first) || p.admit(second) {
		t.Fatal("want a turn for the first alone")
	}
	if next, ok := p.release(other); ok {
		t.Errorf("the end of another reconcile gave a turn to %s", next)
	}
	if !p.admit(first) {
		t.Error("a delivery that has its turn is refused")
	}
	if next, ok := p.release(first); !ok || next != second {
		t.Errorf("after the first: %s, %t; want the second", next, ok)
	}
}

func TestFairAdmissionAdmitsAtLeastOne(t *testing.T) {
	if !newFairAdmission(0).admit(types.NamespacedName{Name: "only"}) {
		t.Error("nothing may ever begin")
	}
}

func TestFairAdmissionLetsNamespacesTakeTurns(t *testing.T) {
	p := newFairAdmission(1)
	name := func(namespace string, i int) types.NamespacedName {
		return types.NamespacedName{Namespace: namespace, Name: fmt.Sprint(i)}
	}
	turn := name("large", 0)
	p.admit(turn)
	for range 3 { // the same ones again and again wait once
		for i := range 4 {
			p.admit(name("large", i))
		}
	}
	p.admit(name("small", 0))
	var order []string
	for ok := true; ok; turn, ok = p.release(turn) {
		order = append(order, turn.String())
	}
	if want := []string{"large/0", "large/1", "small/0", "large/2", "large/3"}; !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
	if len(p.admitted) > 0 || len(p.waiting) > 0 || len(p.queues) > 0 || len(p.order) > 0 {
		t.Errorf("left over: %+v", p)
	}
}

// SPDX-License-Identifier: Apache-2.0

package tally

import "testing"

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		name     string
		states   []State
		received []byte
		want     Outcome
	}{
		{"nothing", nil, nil, Outcome{}},
		{"all arrived once", []State{Accepted, Accepted}, []byte{1, 1}, Outcome{Accepted: 2, Unique: 2}},
		{"one is missing at the end", []State{Accepted, Accepted}, []byte{1}, Outcome{Accepted: 2, Unique: 1, Missing: 1}},
		{"one is missing in the middle", []State{Accepted, Accepted, Accepted}, []byte{1, 0, 1}, Outcome{Accepted: 3, Unique: 2, Missing: 1}},
		{"one came three times", []State{Accepted}, []byte{3}, Outcome{Accepted: 1, Unique: 1, Duplicates: 2}},
		{"refused and not delivered is no loss", []State{Refused, Unknown, Unsent, Skipped}, []byte{0, 0, 0, 0}, Outcome{}},
		{"no answer, yet delivered", []State{Unknown}, []byte{2}, Outcome{Unique: 1, Duplicates: 1, Unpromised: 1}},
		{"delivered though never sent", nil, []byte{0, 1}, Outcome{Unique: 1, Unpromised: 1}},
	} {
		if got := Compare(c.states, c.received); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestAddAddsEachFigure(t *testing.T) {
	one := Outcome{Accepted: 1, Unique: 2, Missing: 3, Duplicates: 4, Unpromised: 5}
	if got, want := one.Add(one), (Outcome{Accepted: 2, Unique: 4, Missing: 6, Duplicates: 8, Unpromised: 10}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

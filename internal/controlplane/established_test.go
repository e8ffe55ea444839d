// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestEstablished(t *testing.T) {
	condition := func(kind, status, message string) any {
		return map[string]any{"type": kind, "status": status, "message": message, "lastTransitionTime": "2024-01-15T10:30:00Z"}
	}
	for _, tc := range []struct {
		name       string
		conditions []any
		want       time.Time
		wantErr    string
	}{
		{name: "a CRD without conditions is not served", wantErr: "no condition Established yet"},
		{
			name:       "a CRD whose names are taken says so",
			conditions: []any{condition("NamesAccepted", "False", `"widgets" is already in use`), condition("Established", "False", "not all names are accepted")},
			wantErr:    `NamesAccepted: "widgets" is already in use; Established: not all names are accepted`,
		},
		{
			name:       "a CRD that is served says since when",
			conditions: []any{condition("NamesAccepted", "True", ""), condition("Established", "True", "")},
			want:       time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			crd := &unstructured.Unstructured{Object: map[string]any{}}
			if tc.conditions != nil {
				crd.Object["status"] = map[string]any{"conditions": tc.conditions}
			}
			got, err := established(crd)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if !got.Equal(tc.want) || text != tc.wantErr {
				t.Errorf("got %v, %q, want %v, %q", got, text, tc.want, tc.wantErr)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestEstablished(t *testing.T) {
	moment := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	condition := func(kind apiextensionsv1.CustomResourceDefinitionConditionType, status apiextensionsv1.ConditionStatus, message string) apiextensionsv1.CustomResourceDefinitionCondition {
		return apiextensionsv1.CustomResourceDefinitionCondition{Type: kind, Status: status, Message: message, LastTransitionTime: metav1.NewTime(moment)}
	}
	type conditions = []apiextensionsv1.CustomResourceDefinitionCondition
	for _, tc := range []struct {
		name       string
		conditions conditions
		want       time.Time
		wantErr    string
	}{
		{name: "a CRD without conditions is not served", wantErr: "no condition Established yet"},
		{
			name:       "a CRD whose names are taken says so",
			conditions: conditions{condition("NamesAccepted", "False", `"widgets" is already in use`), condition("Established", "False", "not all names are accepted")},
			wantErr:    `NamesAccepted: "widgets" is already in use; Established: not all names are accepted`,
		},
		{
			name:       "a CRD that is served says since when",
			conditions: conditions{condition("NamesAccepted", "True", ""), condition("Established", "True", "")},
			want:       moment,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := crdEstablished(&apiextensionsv1.CustomResourceDefinition{Status: apiextensionsv1.CustomResourceDefinitionStatus{Conditions: tc.conditions}})
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

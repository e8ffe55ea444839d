// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// decoders are the ways by which our processes read Webhooks: client-go's, that of
// watches in one pass, that of unstructured objects, and what tests use.
func decoders(t *testing.T) map[string]func([]byte, *Webhook) error {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	clientGo := serializer.NewCodecFactory(scheme).UniversalDeserializer()
	return map[string]func([]byte, *Webhook) error{
		"client-go": func(text []byte, into *Webhook) error {
			_, _, err := clientGo.Decode(text, nil, into)
			return err
		},
		"one pass": func(text []byte, into *Webhook) error { return jsonv2.Unmarshal(text, into) },
		"unstructured": func(text []byte, into *Webhook) error {
			var members map[string]any
			if err := yaml.Unmarshal(text, &members); err != nil {
				return err
			}
			return runtime.DefaultUnstructuredConverter.FromUnstructured(members, into)
		},
	}
}

func TestUnknownMembersAreNoted(t *testing.T) {
	const head = `{"apiVersion":"bbmcp.quietstack.com/v1alpha1","kind":"Webhook","metadata":{"name":"a"},"spec":`
	for spec, want := range map[string][]string{
		`{"url":"https://example.com","events":["*"]}`:                                                      nil,
		`{"url":"https://example.com","events":["*"],"filter":"data.total > 5"}`:                            {"filter"},
		`{"url":"https://example.com","events":["*"],"credentials":{"secretRef":{"name":"a"}},"filter":""}`: {"credentials", "filter"},
		`{"url":"https://example.com","events":["*"],"signing":{"secretRef":{"name":"a","kind":"b"}}}`:      {"signing.secretRef.kind"},
		`{"url":"https://example.com","events":["*"],"URL":"https://example.com"}`:                          {"URL"},
		`{"url":"https://example.com","events":["*"],"retryPolicy":{"delays":["5s"],"timeout":"1s"}}`:       nil,
	} {
		for name, decode := range decoders(t) {
			var webhook Webhook
			if err := decode([]byte(head+spec+`}`), &webhook); err != nil {
				t.Fatalf("%s, %s: %v", name, spec, err)
			}
			if got := webhook.Spec.UnknownMembers; !slices.Equal(got, want) {
				t.Errorf("%s, %s: %q, want %q", name, spec, got, want)
			}
			if webhook.Spec.URL != "https://example.com" || !slices.Equal(webhook.Spec.Events, []string{"*"}) || webhook.Name != "a" {
				t.Errorf("%s, %s: read as %+v", name, spec, webhook)
			}
		}
	}
}

// What is written is read as it was, and nothing else is written for it.
func TestSpecIsReadAsItWasWritten(t *testing.T) {
	want := WebhookSpec{
		URL: "https://example.com", Events: []string{"a", "b.*"}, Description: "é", Suspend: true, SendTraceParent: true,
		Signing:          &Signing{SecretRef: &SecretKeyReference{Name: "a", Key: "b"}, Overlap: &metav1.Duration{Duration: time.Hour}},
		RetryPolicy:      &RetryPolicy{Delays: &[]metav1.Duration{}, Timeout: &metav1.Duration{Duration: time.Second}, JitterPercent: new(int32(5))},
		DeliveryDeadline: &metav1.Duration{Duration: time.Minute}, Overflow: OverflowRefuse,
		Retention: &Retention{Succeeded: &metav1.Duration{}, MaxCount: new(int32(3)), Record: RecordNever},
	}
	text, err := json.Marshal(&Webhook{TypeMeta: metav1.TypeMeta{APIVersion: GroupVersion.String(), Kind: "Webhook"}, Spec: want})
	if err != nil {
		t.Fatal(err)
	}
	for name, decode := range decoders(t) {
		var got Webhook
		if err := decode(text, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got.Spec, want) {
			t.Errorf("%s: got %+v, want %+v", name, got.Spec, want)
		}
	}
	for _, wrong := range []string{`{"spec":{"url":5}}`, `{"spec":{"events":"*"}}`, `{"spec":[]}`} {
		if err := json.Unmarshal([]byte(wrong), &Webhook{}); err == nil {
			t.Errorf("%s is read", wrong)
		}
	}
}

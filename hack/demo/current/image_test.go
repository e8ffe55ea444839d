// SPDX-License-Identifier: Apache-2.0

package current

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestPullPolicy(t *testing.T) {
	for _, tc := range []struct {
		name  string
		image Image
		want  corev1.PullPolicy
	}{
		{"an image that was loaded is never pulled", Image{Name: "local/demo:1", Archive: "image.tar"}, corev1.PullNever},
		{"an image of the user is pulled where it is missing", Image{Name: "registry.example.com/demo:1"}, corev1.PullIfNotPresent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := receiverPod(tc.image).Spec.Containers[0].ImagePullPolicy; got != tc.want {
				t.Errorf("the receiver has %s, want %s", got, tc.want)
			}
			values, err := chartValues(tc.image)
			if err != nil {
				t.Fatal(err)
			}
			if image, _ := values["image"].(map[string]any); image["pullPolicy"] != string(tc.want) {
				t.Errorf("the chart gets %v, want pullPolicy %s", image, tc.want)
			}
		})
	}
}

func TestSplitImage(t *testing.T) {
	for name, want := range map[string][2]string{
		"local/demo:1":                    {"local/demo", "1"},
		"registry.example.com:5000/a/b:2": {"registry.example.com:5000/a/b", "2"},
	} {
		if repository, tag, err := splitImageName(name); err != nil || [2]string{repository, tag} != want {
			t.Errorf("%s: got %q, %q, %v", name, repository, tag, err)
		}
	}
	for _, name := range []string{"demo", "registry.example.com:5000/a/b", "demo@sha256:0", ""} {
		if _, _, err := splitImageName(name); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

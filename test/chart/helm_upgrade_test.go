// SPDX-License-Identifier: Apache-2.0

//go:build helm

package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// earlier is a commit whose chart lacks much of what there is now: policies, fixed
// ids that can be left out, a ServiceAccount for scraping.
const earlier = "72a8c8f"

// settings are a user's, in each way that Helm takes them.
const settings = `
manager: {replicas: 3, flags: {disable-after: 240h}, nodeSelector: {disk: ssd}}
gateway: {flags: {first-attempt-wait: 5s}}
networkPolicy: {apiServerPorts: [7443]}
`

// Whatever a user says about the values of the release before: what was set stays,
// and what is new since then is on. The release is what an installation is.
func TestHelmUpgradesFromAnEarlierReleaseInEveryWay(t *testing.T) {
	before := chartOf(t, earlier)
	after, err := filepath.Abs(filepath.Join(root, Folder))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, helm := range []string{"helm3", "helm4"} {
		t.Run(helm, func(t *testing.T) {
			c := newCluster(t)
			c.restrict(t)
			binary := binaryOf(t, helm)
			c.run(t, nil, binary, "install", "bbmcp", before, "--namespace="+namespace, "--values="+file)
			for i, way := range []struct {
				flags []string
				more  string
			}{
				{flags: []string{"--reuse-values"}},
				{[]string{"--reuse-values", "--set=tracing.endpoint=http://collector:4318"}, "tracing: {endpoint: 'http://collector:4318'}"},
				{flags: []string{"--reset-then-reuse-values"}},
				{flags: []string{"--values=" + file}},
				{},
			} {
				if i > 0 {
					c.run(t, nil, binary, "rollback", "bbmcp", "1", "--namespace="+namespace)
				}
				c.run(t, nil, binary, slices.Concat([]string{"upgrade", "bbmcp", after, "--namespace=" + namespace}, way.flags)...)
				want := render(t, settings+way.more, Release{}).Objects
				c.holds(t, want, true)
				c.released(t, binary, way.flags, want)
			}
		})
	}
}

// released fails unless the release consists of these objects. Event types, a hook at
// the first installation, are the release's own later.
func (c *cluster) released(t *testing.T, helm string, way []string, want []*unstructured.Unstructured) {
	t.Helper()
	objects, err := DecodeObjects(strings.NewReader(c.run(t, nil, helm, "get", "manifest", "bbmcp", "--namespace="+namespace)))
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := byKey(t, objects), byKey(t, want)
	for key := range got {
		if wanted[key] == nil {
			t.Errorf("%q: %s is there", way, key)
		}
	}
	for key, object := range wanted {
		if strings.HasPrefix(key, "EventType ") {
			continue
		}
		if got[key] == nil {
			t.Errorf("%q: %s is missing", way, key)
		} else if found, text := yamlOf(t, got[key]), yamlOf(t, object); found != text {
			t.Errorf("%q: %s is\n%s\nwant\n%s", way, key, found, text)
		}
	}
}

// The chart refuses a cluster that is too old, whatever its provider adds to the version.
func TestHelmRefusesAKubernetesThatIsTooOld(t *testing.T) {
	for _, helm := range []string{"helm3", "helm4"} {
		for version, fits := range map[string]bool{
			"v1.29.9": false, "v1.30.14": false, "v1.30.14-eks-1-30-42": false,
			"v1.31.0": true, "v1.31.0-rc.1": true, "v1.31.7-gke.1265000": true, "v1.37.2": true,
		} {
			command := exec.CommandContext(t.Context(), binaryOf(t, helm), "template", "bbmcp", Folder, "--kube-version="+version)
			command.Dir = root
			out, err := command.CombinedOutput()
			if (err == nil) != fits || !fits && !strings.Contains(string(out), "kubeVersion: >=1.31.0-0") {
				t.Errorf("%s, Kubernetes %s: %v, fits %t\n%.300s", helm, version, err, fits, out)
			}
		}
	}
}

func binaryOf(t *testing.T, helm string) string {
	t.Helper()
	binary, err := filepath.Abs(filepath.Join(root, "bin", helm))
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

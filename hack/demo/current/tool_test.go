// SPDX-License-Identifier: Apache-2.0

package current

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeTool puts a program on the PATH, and nothing else, which notes its arguments, and fails if it is told to.
func fakeTool(t *testing.T, name, status string) (arguments func() string) {
	t.Helper()
	folder := t.TempDir()
	noted := filepath.Join(folder, "arguments")
	script := "#!/bin/sh\necho \"$@\" > '" + noted + "'\necho said by the tool\nexit " + status + "\n"
	if err := os.WriteFile(filepath.Join(folder, name), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder)
	return func() string {
		text, err := os.ReadFile(noted)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
}

func TestBringImages(t *testing.T) {
	image := Image{Name: "local/demo:1", Archive: "/tree/image.tar"}
	for context, want := range map[string]struct{ program, arguments string }{
		"kind-demo":      {"kind", "load image-archive /tree/image.tar --name demo"},
		"minikube":       {"minikube", "image load /tree/image.tar --profile minikube"},
		"k3d-demo":       {"k3d", "image import /tree/image.tar --cluster demo"},
		"docker-desktop": {"docker", "load --input /tree/image.tar"},
	} {
		t.Run("to "+context, func(t *testing.T) {
			arguments := fakeTool(t, want.program, "0")
			if err := loadWithTool(t.Context(), Target{Context: context}, image); err != nil {
				t.Fatal(err)
			}
			if got := arguments(); got != want.arguments {
				t.Errorf("got %s %s, want %s", want.program, got, want.arguments)
			}
		})
	}

	const wayOut = "make demo CLUSTER=current IMAGE=REGISTRY/NAME:TAG"
	for _, tc := range []struct{ name, context, program, want string }{
		{"a tool that fails", "kind-demo", "kind", "said by the tool"},
		{"a tool that is not there", "kind-demo", "other", "is one of kind, which is not on the PATH"},
		{"a cluster of no known tool", "production", "kind", `does not know how to bring its image to the nodes of the context "production"`},
	} {
		t.Run(tc.name+" is told with the way out", func(t *testing.T) {
			fakeTool(t, tc.program, "1")
			err := loadWithTool(t.Context(), Target{Context: tc.context}, image)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), wayOut) {
				t.Errorf("got %v, want %q and %q", err, tc.want, wayOut)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package receivers

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// randomEvents is how many events each receiver gets from the running product.
const randomEvents = 1000

func TestGoReceiver(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "receiver")
	build := exec.Command("go", "build", "-o", binary, ".") // a module of its own, as its users have it
	build.Dir = "../../examples/receivers/go"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the receiver: %v\n%s", err, out)
	}
	receiver, err := Start(t.Context(), build.Dir, binary)
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Stop()
	for _, result := range Check(t.Context(), receiver) {
		t.Run(result.Name, func(t *testing.T) {
			if result.Err != nil {
				t.Error(result.Err)
			}
		})
	}
	if err := CheckLive(t.Context(), receiver, randomEvents, func(text string) { t.Log(text) }); err != nil {
		t.Errorf("events of random content: %v", err)
	}
}

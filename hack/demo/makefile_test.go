// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestMakeTakesTheClusterFromItsCommandLine(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("there is no make")
	}
	if _, err := os.Stat("../../Makefile"); err != nil { // Go runs the test again when that file changes
		t.Fatal(err)
	}
	t.Setenv("CONTEXT", "exported")
	t.Setenv("IMAGE", "exported:1")
	for _, tc := range []struct{ name, arguments, want string }{
		{"and nothing of what the shell exports", "", "--cluster='current'"},
		{"with a context", "CONTEXT=given", "--cluster='current' --context='given'"},
		{"with an image", "IMAGE=given:1", "--cluster='current' --image='given:1'"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), "make", append([]string{"--dry-run", "demo", "CLUSTER=current"}, strings.Fields(tc.arguments)...)...)
			command.Dir = "../.."
			command.Env = withoutMake(os.Environ())
			out, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got := strings.Join(strings.Fields(strings.ReplaceAll(string(out), "\\\n", " ")), " ")
			if want := "go run ./hack/demo " + tc.want; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// withoutMake is an environment without what a make that runs this test tells those that it starts.
func withoutMake(environment []string) []string {
	var kept []string
	for _, variable := range environment {
		if name, _, _ := strings.Cut(variable, "="); name != "MAKEFLAGS" && name != "MFLAGS" && name != "MAKEOVERRIDES" && name != "MAKELEVEL" {
			kept = append(kept, variable)
		}
	}
	return kept
}

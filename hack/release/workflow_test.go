// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// step is a step of a job, job a job of a workflow.
type (
	step struct {
		Name string            `yaml:"name"`
		If   string            `yaml:"if"`
		Env  map[string]string `yaml:"env"`
		Run  string            `yaml:"run"`
	}
	job struct {
		Needs       string            `yaml:"needs"`
		Environment string            `yaml:"environment"`
		Permissions map[string]string `yaml:"permissions"`
		Env         map[string]string `yaml:"env"`
		Steps       []step            `yaml:"steps"`
	}
)

// readWorkflow reads the jobs of the workflow that makes releases.
func readWorkflow(t *testing.T) map[string]job {
	t.Helper()
	var workflow struct {
		Jobs map[string]job `yaml:"jobs"`
	}
	if err := yaml.Unmarshal(must(os.ReadFile("../../.github/workflows/release.yaml"))(t), &workflow); err != nil {
		t.Fatal(err)
	}
	return workflow.Jobs
}

// runStep runs the script of a step as the runner does.
func runStep(t *testing.T, name, folder string, environment ...string) error {
	t.Helper()
	for _, job := range readWorkflow(t) {
		for _, step := range job.Steps {
			if step.Name != name {
				continue
			}
			command := exec.CommandContext(t.Context(), "bash", "-e", "-c", step.Run)
			command.Dir = folder
			command.Env = append(withoutGitVariables(command.Environ()), environment...)
			if out, err := command.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		}
	}
	t.Fatalf("the workflow has no step %q", name)
	return nil
}

func TestWorkflowTakesVersionsForTags(t *testing.T) {
	for tag, good := range map[string]bool{
		"v1.2.3": true, "v0.1.0-rc.1": true, "v10.20.30": true,
		"v1": false, "v1.2": false, "v01.2.3": false, "v1.2.3+build": false, "v1.2.3-": false, "1.2.3": false, "version": false,
		"v1';{curl,-s,example.org}|sh;'": false, "v1.2.3';{id,};'": false, "v1.2.3-$(id)": false, "v1.2.3-`id`": false,
	} {
		if err := runStep(t, "Check the name of the tag", ".", "TAG="+tag); (err == nil) != good {
			t.Errorf("%q is taken: %t, want %t (%v)", tag, !good, good, err)
		}
	}
}

func TestWorkflowTakesCommitsOfMain(t *testing.T) {
	origin, clone := newRepository(t), filepath.Join(t.TempDir(), "clone")
	origin.commit("one")
	origin.git("checkout", "--quiet", "-b", "other")
	origin.commit("two")
	origin.git("tag", "v1.2.3")
	origin.git("clone", "--quiet", ".", clone)
	const name = "Check that the commit is on main"
	if err := runStep(t, name, clone); err == nil {
		t.Error("a commit that is not on main is taken")
	}
	origin.git("-C", clone, "checkout", "--quiet", "HEAD^")
	if err := runStep(t, name, clone); err != nil {
		t.Error(err)
	}
}

func TestWorkflowSignsOrFails(t *testing.T) {
	temporary := t.TempDir()
	key := filepath.Join(temporary, "release.pem")
	if err := runStep(t, "Write the key", ".", "RUNNER_TEMP="+temporary, "RELEASE_KEY="); err == nil {
		t.Error("without the secret it goes on")
	}
	if err := runStep(t, "Write the key", ".", "RUNNER_TEMP="+temporary, "RELEASE_KEY=a\nb"); err != nil {
		t.Fatal(err)
	}
	if got := string(must(os.ReadFile(key))(t)); got != "a\nb\n" {
		t.Errorf("the file of the key holds %q", got)
	}
	if mode := must(os.Stat(key))(t).Mode(); mode != 0o600 {
		t.Errorf("the file of the key has the mode %v", mode)
	}
	if err := runStep(t, "Remove the key", ".", "RUNNER_TEMP="+temporary); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("the file of the key stays")
	}
}

func TestWorkflowGivesSecretsToStepsThatNeedThem(t *testing.T) {
	jobs := readWorkflow(t)
	for name, job := range jobs {
		for _, value := range job.Env {
			if strings.Contains(value, "secrets.") {
				t.Errorf("job %s: each of its steps has %s", name, value)
			}
		}
		secret := false
		for _, step := range job.Steps {
			if strings.Contains(step.Run, "${{") {
				t.Errorf("job %s, step %q: an expression is pasted into the script", name, step.Name)
			}
			for _, value := range step.Env {
				if !strings.Contains(value, "secrets.") {
					continue
				}
				secret = true
				if strings.Contains(step.Run, "make ") {
					t.Errorf("job %s, step %q: make and its children have %s", name, step.Name, value)
				}
			}
		}
		if secret && job.Environment != "release" {
			t.Errorf("job %s has secrets outside of the environment release", name)
		}
		if writes := job.Permissions["contents"] == "write"; writes && (secret || name != "draft") {
			t.Errorf("job %s may write contents", name)
		}
	}
	if jobs["draft"].Needs != "build" || jobs["push"].Needs != "draft" {
		t.Error("the order is not build, draft, push")
	}
	for _, each := range []string{"Remove the key", "Log out"} {
		found := false
		for _, job := range jobs {
			found = found || slices.ContainsFunc(job.Steps, func(s step) bool { return s.Name == each && s.If == "always()" })
		}
		if !found {
			t.Errorf("step %q is not always run", each)
		}
	}
}

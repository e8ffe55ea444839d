// SPDX-License-Identifier: Apache-2.0

//go:build curl

package curl

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

const (
	demoStarts = 2 * time.Minute
	demoEnds   = time.Minute
)

// demo starts what make demo starts, in the tree, and returns what it has printed
// once it invites people to use it.
func demo(t *testing.T) (printed string) {
	t.Helper()
	folder := t.TempDir()
	binary, log := filepath.Join(folder, "demo"), filepath.Join(folder, "demo.log")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./hack/demo")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the demo: %v\n%s", err, out)
	}
	command := exec.Command(binary)
	command.Dir = root
	process, err := childprocess.Start("demo", log, command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		process.Stop(demoEnds)
		if _, err := os.Stat(filepath.Join(root, environmentFile)); err == nil {
			t.Errorf("%s is there after the demo has ended", environmentFile)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), demoStarts)
	defer cancel()
	err = process.WaitFor(ctx, "the demo to invite people", func(context.Context) error {
		text, err := os.ReadFile(log)
		printed = string(text)
		if err == nil && !strings.Contains(printed, "Logs: ") {
			err = errors.New("not yet")
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	return printed
}

// environmentFile is what pages read.
const environmentFile = "bin/demo.env"

// bare is the environment of somebody who has read no page yet.
func bare() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "BBMCP_") || strings.HasPrefix(variable, "KUBECONFIG=")
	})
}

// A newcomer follows the first pages on one demo, each in a shell of its own: what
// a page needs it says itself.
func TestTheFirstPagesAreFollowedOnOneDemo(t *testing.T) {
	for _, name := range []string{"bash", "curl", "kubectl", "python3", "sed", "base64"} {
		find(t, name)
	}
	if path, err := exec.LookPath("bbmcp"); err == nil {
		t.Fatalf("%s is on the PATH: the pages must bring their own", path)
	}
	text := demo(t)
	environment, err := os.ReadFile(filepath.Join(root, environmentFile))
	if err != nil {
		t.Fatal(err)
	}
	token := regexp.MustCompile(`BBMCP_API_KEY='([^']+)'`).FindSubmatch(environment)
	if len(token) < 2 || strings.Count(text, string(token[1])) != 1 {
		t.Errorf("the token must be printed once, in the sign-in link:\n%s", text)
	}
	if info, err := os.Stat(filepath.Join(root, environmentFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s holds a token: %v %v", environmentFile, info.Mode(), err)
	}
	t.Cleanup(func() { // what the pages make
		for _, made := range []string{"venv", "laptop.key", "events.ndjson", "events.ndjson.progress"} {
			if err := os.RemoveAll(filepath.Join(root, "bin", made)); err != nil {
				t.Error(err)
			}
		}
	})
	for _, page := range own {
		content, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		all := blocks(string(content))
		if ran := slices.DeleteFunc(slices.Clone(all), func(b block) bool { return b.excuse != "" }); len(ran) < 2 {
			t.Fatalf("%s has %d blocks of commands", page, len(ran))
		}
		if !t.Run(page, func(t *testing.T) { follow(t, page, all, []string{"set -u\n"}, "true\n", root, bare()) }) {
			return
		}
		if page == "README.md" {
			expectRetry(t, receivedBy(t, string(environment))["/hooks/bbmcp"])
		}
	}
	counts := receivedBy(t, string(environment))
	for path, least := range map[string]int{
		"/hooks/bbmcp": 4, "/hooks/orders": 1, "/hooks/over-http": 1, "/hooks/shop": 2, "/hooks/python": 1, "/hooks/store": 1, "/hooks/team/v2": 1,
	} {
		if counts[path].Posts < least {
			t.Errorf("%d posts came to %s, want %d or more: the pages lead people to an endpoint that hears nothing", counts[path].Posts, path, least)
		}
	}
}

// expectRetry checks what the front page promises: five events of the demo and two of the reader, all verified, one of each
// delivered at the second attempt.
func expectRetry(t *testing.T, counts receiver.Counts) {
	t.Helper()
	if counts.Posts != 9 || counts.Verified != counts.Posts || counts.Unique != 7 || counts.Accepted != 7 {
		t.Errorf("the endpoint got %+v, want 9 posts of 7 deliveries, all verified, all delivered", counts)
	}
}

// receivedBy asks the demo's receiver what came, by path.
func receivedBy(t *testing.T, environment string) map[string]receiver.Counts {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", "-c", ". "+environmentFile+`; curl -sSf "$ENDPOINT/_received"`)
	command.Dir = root
	said, err := command.Output()
	if err != nil {
		t.Fatalf("%v, with\n%s", err, environment)
	}
	var counts struct{ Paths map[string]receiver.Counts }
	if err := json.Unmarshal(said, &counts); err != nil {
		t.Fatal(err)
	}
	return counts.Paths
}

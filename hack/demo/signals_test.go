// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// cleanedVariable makes the test program a demo that is stopped: it names the file that the demo writes at its end.
const cleanedVariable = "DEMO_TEST_CLEANED"

func TestMain(m *testing.M) {
	if file := os.Getenv(cleanedVariable); file != "" {
		os.Exit(cleanWhenStopped(file))
	}
	os.Exit(m.Run())
}

// cleanWhenStopped says that it is up, waits to be stopped, says so, and writes the file.
func cleanWhenStopped(file string) int {
	ctx, stop := stopOnSignals(context.Background())
	defer stop()
	fmt.Println("up")
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
		return 1
	}
	fmt.Println("stopping everything")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return 1
	}
	return 0
}

func TestDemoCleansUp(t *testing.T) {
	for _, stopped := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run("when the reader of its output has ended and it is told: "+stopped.String(), func(t *testing.T) {
			cleaned := filepath.Join(t.TempDir(), "cleaned")
			command := exec.CommandContext(t.Context(), os.Args[0])
			command.Env = append(os.Environ(), cleanedVariable+"="+cleaned)
			output, err := command.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			output.Close()
			if err := command.Process.Signal(stopped); err != nil {
				t.Fatal(err)
			}
			if err := command.Wait(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(cleaned); err != nil {
				t.Error(err)
			}
		})
	}
}

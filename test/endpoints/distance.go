// SPDX-License-Identifier: Apache-2.0

package endpoints

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// Distance is a long way: connections to the addresses at its end come to the
// endpoints of this process, and every packet takes half a round trip. It is a device
// of the network, so that a close, a reset and the acknowledgement of what arrived
// come as late, and in the order, as from far away.
type Distance struct {
	device  *os.File
	halfway time.Duration
}

// ErrNoNetwork says that the process has no network of its own.
var ErrNoNetwork = errors.New("no network of its own")

// farAddresses is how many addresses out there the certificates of endpoints name.
const farAddresses = 128

// FarNetwork is where the way leads.
const FarNetwork = "10.77.0.0/16"

// droppedNetwork is the third byte of addresses that what is sent to is dropped.
const droppedNetwork = 255

// farAddress is one of 60,000 at the end of the way; 0 is this process itself.
func farAddress(n int) string {
	return "10.77." + strconv.Itoa(n/250) + "." + strconv.Itoa(n%250+1)
}

// Addr is the n-th address out there, from 1, at which every endpoint is.
func (d *Distance) Addr(n int) string { return farAddress(n) }

// DroppedAddr is the n-th address, from 1, to which packets are dropped.
func (d *Distance) DroppedAddr(n int) string {
	return "10.77." + strconv.Itoa(droppedNetwork) + "." + strconv.Itoa(n)
}

// Close ends it.
func (d *Distance) Close() { _ = d.device.Close() }

// insideVariable is set in a process that has a network of its own.
const insideVariable = "ENDPOINTS_INSIDE"

func inDistanceNetwork() bool { return os.Getenv(insideVariable) != "" }

// exitOutside is what a process exits with that could not set up its network.
const exitOutside = 77

// RunWithDistance runs the tests of a package in a network of their own, with mounts of their
// own, where the system lets it; else as they are, and what needs that network gets
// [ErrNoNetwork]. It is to be called from TestMain. prepare is called outside, first.
func RunWithDistance(m *testing.M, prepare func() error) int {
	ctx := context.Background()
	if inDistanceNetwork() {
		if err := settleDistance(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return exitOutside
		}
		return m.Run()
	}
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	runtime.LockOSThread()                                          // the process ends with the thread that started it
	command := exec.CommandContext(ctx, os.Args[0], os.Args[1:]...) //nolint:gosec // G702: this very process
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), insideVariable+"=1")
	isolateDistance(command)
	err := command.Run()
	if ended, ok := errors.AsType[*exec.ExitError](err); ok && ended.ExitCode() != exitOutside {
		return max(ended.ExitCode(), 1) // -1 after a signal
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "without a network of its own:", err)
		return m.Run()
	}
	return 0
}

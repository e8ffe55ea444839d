// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package endpoints

import (
	"context"
	"errors"
	"os/exec"
	"time"
)

// StartDistance needs Linux.
func StartDistance(context.Context, time.Duration) (*Distance, error) { return nil, ErrNoNetwork }

// isolateDistance leaves a command that cannot be started.
func isolateDistance(command *exec.Cmd) { command.Path, command.Err = "", errors.ErrUnsupported }

func settleDistance(context.Context) error { return errors.ErrUnsupported }

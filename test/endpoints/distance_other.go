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

// isolate leaves a command that cannot be started.
func isolate(command *exec.Cmd) { command.Path, command.Err = "", errors.ErrUnsupported }

func settle(context.Context) error { return errors.ErrUnsupported }

// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"os/exec"
	"time"
)

// outputWithin bounds how long programs that a command has left behind may keep its output open after its end.
const outputWithin = 5 * time.Second

// newCommand is a command that ends with the context, whatever it has started itself.
func newCommand(ctx context.Context, program string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, program, args...)
	command.WaitDelay = outputWithin
	return command
}

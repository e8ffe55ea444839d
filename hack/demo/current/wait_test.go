// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestWaitFor(t *testing.T) {
	t.Run("ends when it is hopeless", func(t *testing.T) {
		asked := 0
		never := hopelessError("never")
		err := waitFor(t.Context(), time.Minute, func(context.Context) error { asked++; return never })
		if !errors.Is(err, never) || asked != 1 {
			t.Errorf("got %v after %d questions", err, asked)
		}
	})

	t.Run("tells what it waited for", func(t *testing.T) {
		last := errors.New("not yet")
		err := waitFor(t.Context(), time.Millisecond, func(context.Context) error { return last })
		if !errors.Is(err, last) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

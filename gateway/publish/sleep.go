// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"time"
)

// sleepContext waits; false: ctx has ended.
func sleepContext(ctx context.Context, wait time.Duration) bool {
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

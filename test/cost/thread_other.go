// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package cost

import "time"

// threadTime is not known here: memory alone is measured.
func threadTime() time.Duration { return 0 }

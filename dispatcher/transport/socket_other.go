// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package transport

import "syscall"

// unacknowledged cannot be told here: what may have arrived counts as arrived.
func unacknowledged(syscall.RawConn) (count int64, ended bool) { return 0, false }

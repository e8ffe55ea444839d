// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package endpoints

// UseResolverConfig needs Linux.
func UseResolverConfig(string) (stop func(), err error) { return nil, ErrNoNetwork }

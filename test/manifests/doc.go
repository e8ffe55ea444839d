// SPDX-License-Identifier: Apache-2.0

// Package manifests tests the files that people apply: config/ and examples/.
// It holds tests alone, starts no process and needs no cluster; nothing imports
// it.
package manifests

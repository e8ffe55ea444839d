// SPDX-License-Identifier: Apache-2.0

// Package ports hands out TCP ports for processes that are told where to listen.
package ports

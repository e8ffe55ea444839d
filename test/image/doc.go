// SPDX-License-Identifier: Apache-2.0

// Package image looks into the image that make image has built: what is in it,
// who runs it, and that nothing else is there. Run it with make check-image.
package image

// SPDX-License-Identifier: Apache-2.0

// Package imagearchive writes images of static programs as docker save writes them, which every container runtime and every
// tool for local clusters loads. It needs neither docker nor a base image.
//
// The image that is released is built by hack/image; only tests and the demo may import this package.
package imagearchive

// SPDX-License-Identifier: Apache-2.0

// Package kubectl checks what people see who work with kubectl alone: get,
// describe, explain, wait, annotate, apply, edit and delete, against the
// running product, and that every mistake in a manifest is answered with a text
// that says what to do.
//
// It runs under the build tag kubectl and needs the program kubectl on the PATH.
// It reads nothing by another way than kubectl, except what arrived at the
// receiver. Nothing imports it.
package kubectl

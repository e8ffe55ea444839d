// SPDX-License-Identifier: Apache-2.0

// Command draw draws 40 functions of the module at random and prints their names and signatures, without file or package:
//
//	go run ./hack/draw -seed 291
//	go run ./hack/draw -seed 291 -answers
//
// It measures whether names lead to places. A reader who knows README.md, docs/ and the names of files, but has not opened
// any, names the file of each function; -answers prints the same functions with their files, to count by. The same seed draws
// the same functions from the same tree. A seed is a number; of a commit, take the last three digits of its hash (0x3f1).
//
// Tests, generated code and modules within the module are left out. It compiles nothing, and nothing imports it.
package main

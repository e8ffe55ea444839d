// SPDX-License-Identifier: Apache-2.0

// Package catalogue checks what an EventType says about the data of its events:
// that the schema is a JSON Schema (draft 2020-12) and that data satisfies it.
//
// It never reads a file or the network: a schema that refers to another
// document is refused. It is pure; controllers and gateway import it.
package catalogue

// SPDX-License-Identifier: Apache-2.0

// Package mirror keeps a copy of one kind of object in memory, as little of
// each as its owner wants, and knows what this process wrote before the watch
// tells of it: whoever creates an object here finds it here at once.
//
// It differs from an informer in three ways. An object is reduced as it
// arrives, to a type of the owner's choice. Writes of this process enter
// through Note and Forget. And it says for how long nothing was heard of the
// API server, because a mirror that is silent may show the past.
//
// It never writes to the API server. The gateway imports it.
package mirror

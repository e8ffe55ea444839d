// SPDX-License-Identifier: Apache-2.0

// Package watchcache keeps one kind of object in memory, as little of each as
// its owner wants, and shows a write of this process before the watch does: who
// creates an object here finds it here at once.
//
// It differs from an informer in three ways. An object is reduced as it
// arrives, to a type of the owner's choice. Writes of this process enter
// through ApplyWrite and ApplyDelete. And it tells its staleness, because a
// cache without contact to the API server may show the past.
//
// Subscribers are told of changes in their order, after the lock of the cache is
// released.
//
// It never writes to the API server. The gateway imports it.
package watchcache

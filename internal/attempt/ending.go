// SPDX-License-Identifier: Apache-2.0

package attempt

// ending is how an attempt ended.
type ending struct {
	kind    endingKind
	outcome Outcome // but of one that was not made
	test    bool    // of a test event, if it was answered
}

type endingKind uint8

const (
	// notPrepared: Prepare failed.
	notPrepared endingKind = iota
	// notSent: after Prepare nothing might start any more.
	notSent
	// unavailable: there was no dispatcher to hand the attempt to.
	unavailable
	// answered: there is a result.
	answered
	// lost: the result was lost with the dispatcher. The outcome is what the last
	// loss of a job comes to.
	lost
)

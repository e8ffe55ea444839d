// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"context"
	"errors"
)

const (
	// baseSteps and stepsPerByte bound the work of checking one event, whatever its
	// schema says: so many steps, and so many more for each byte of data. A step is
	// a tenth of a microsecond: a keyword held against a small value takes a few.
	baseSteps    = 1 << 19
	stepsPerByte = 6
	// maxExplainSteps bounds how much more work may be done to say what is wrong.
	// Every value that fails costs memory then.
	maxExplainSteps = 1 << 17
	// stepsBetweenLooks is how often the caller is asked whether it still waits.
	stepsBetweenLooks = 1 << 12
)

// stepsFor is how much work the check of so many bytes may be.
func stepsFor(bytes int) int { return baseSteps + stepsPerByte*bytes }

// stepMeter counts the work of one check. The schema library can neither be told to
// stop nor return an error from where the work is done, so the meter panics with
// a spent, and run recovers that.
type stepMeter struct {
	ctx    context.Context //nolint:containedctx // of one check, which ends before its caller goes on
	left   int
	unseen int // steps since ctx was looked at
}

// spent is why a check was given up.
type spent struct{ err error }

// errTooCostly says that a check was given up.
var errTooCostly = errors.New("costs too much to hold against the schema: more than a hundred comparisons for a byte of it; send less in one event, or have the schema simplified")

// run calls check, which may spend so many steps. The error says why it was given
// up.
func (m *stepMeter) run(ctx context.Context, steps int, check func()) (err error) {
	m.ctx, m.left, m.unseen = ctx, steps, 0
	defer func() {
		m.ctx = nil
		switch recovered := recover().(type) {
		case nil:
		case spent:
			err = recovered.err
		default:
			panic(recovered)
		}
	}()
	check()
	return nil
}

// spend counts steps before they are made.
func (m *stepMeter) spend(steps int) {
	if m.ctx == nil {
		return // a schema is being compiled
	}
	if m.left -= steps; m.left < 0 {
		panic(spent{errTooCostly})
	}
	if m.unseen += steps; m.unseen < stepsBetweenLooks {
		return
	}
	m.unseen = 0
	if err := m.ctx.Err(); err != nil {
		panic(spent{err})
	}
}

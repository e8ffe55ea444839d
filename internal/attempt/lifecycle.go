// SPDX-License-Identifier: Apache-2.0

package attempt

// lifecycle is how far a runner is between its start and its end.
type lifecycle struct {
	started  bool
	stopped  bool // Run has returned
	draining bool
	closing  chan struct{} // closed when draining begins
	drained  chan struct{} // closed when draining and nothing is under way
}

func newLifecycle() lifecycle {
	return lifecycle{closing: make(chan struct{}), drained: make(chan struct{})}
}

// ends reports whether nothing may start any more.
func (l *lifecycle) ends() bool { return l.stopped || l.draining }

// drain begins to drain.
func (l *lifecycle) drain() {
	if !l.draining {
		l.draining = true
		close(l.closing)
	}
}

// checkDrained ends draining when nothing is under way.
func (l *lifecycle) checkDrained(underWay int) {
	if !l.draining || underWay > 0 {
		return
	}
	select {
	case <-l.drained:
	default:
		close(l.drained)
	}
}

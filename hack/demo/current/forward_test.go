// SPDX-License-Identifier: Apache-2.0

package current

import (
	"errors"
	"strings"
	"testing"
)

func TestWatchForward(t *testing.T) {
	watch := func(stopped bool) string {
		var told string
		c := &DemoCluster{stop: make(chan struct{}), options: Options{Progress: func(text string) { told = text }}}
		if stopped {
			close(c.stop)
		}
		ended := make(chan error, 1)
		ended <- errors.New("lost connection to pod")
		c.watchForward("receiver", ended)
		return told
	}

	t.Run("a forwarding that ends by itself is told", func(t *testing.T) {
		if told := watch(false); !strings.Contains(told, "Pod receiver") || !strings.Contains(told, "lost connection to pod") {
			t.Errorf("got %q", told)
		}
	})

	t.Run("a forwarding that the demo ends is not", func(t *testing.T) {
		if told := watch(true); told != "" {
			t.Errorf("got %q", told)
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"testing"
	"time"

	"github.com/onsi/gomega"
)

func TestEventuallyEndsBeforeItsContext(t *testing.T) {
	setEventuallyDefaults()
	gomega.SetDefaultEventuallyTimeout(time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	failed := false
	g := gomega.NewGomega(func(string, ...int) { failed = true })
	g.Eventually(ctx, func() bool { return false }).Should(gomega.BeTrue())
	if !failed || ctx.Err() != nil {
		t.Errorf("what never comes about was awaited until the context ended: %v", ctx.Err())
	}
}

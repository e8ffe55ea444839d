// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"fmt"
	"io"
	"time"

	"github.com/oklog/ulid/v2"
)

// eventIDs generates ids for events that come without one.
type eventIDs struct {
	now    func() time.Time
	random io.Reader
}

// generate returns a ULID behind a prefix such as "evt_".
func (e *eventIDs) generate(prefix string) (string, error) {
	id, err := ulid.New(ulid.Timestamp(e.now()), e.random)
	if err != nil {
		return "", fmt.Errorf("make an event id: %w", err)
	}
	return prefix + id.String(), nil
}

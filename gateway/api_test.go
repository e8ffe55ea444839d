// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// operations are all of the REST API, by id.
func operations() map[string]*huma.Operation {
	all := map[string]*huma.Operation{}
	for _, path := range NewAPI(http.NewServeMux(), &Gateway{}).OpenAPI().Paths {
		for _, operation := range []*huma.Operation{path.Get, path.Post, path.Put, path.Patch, path.Delete} {
			if operation != nil {
				all[operation.OperationID] = operation
			}
		}
	}
	return all
}

// A deadline of huma's would go on after the body is read, and end the context of a
// request that takes longer: net/http takes it for a client that has hung up.
func TestNoOperationHasADeadlineForItsBody(t *testing.T) {
	all := operations()
	if len(all) < 15 {
		t.Fatalf("%d operations, want all", len(all))
	}
	for id, operation := range all {
		if operation.BodyReadTimeout >= 0 {
			t.Errorf("%s: %s", id, operation.BodyReadTimeout)
		}
	}
}

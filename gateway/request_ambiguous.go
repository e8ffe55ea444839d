// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// refuseAmbiguous refuses a request that two servers may read in two ways, and a query
// that cannot be parsed whole: a request for a namespace must not be taken for one
// without.
func refuseAmbiguous(request *http.Request) *problem {
	query, err := url.ParseQuery(request.URL.RawQuery)
	if err != nil {
		return newFieldProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, "query",
			`has a % without two hexadecimal digits behind it, or a semicolon; write them as %25 and %3B`)
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(query[name]) > 1 {
			return newFieldProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, "query."+name, "is there more than once; send it once")
		}
	}
	if len(request.Header.Values("Content-Type")) > 1 {
		return mediaTypeProblem("header.Content-Type", "is there more than once; send it once")
	}
	for _, coding := range request.Header.Values("Content-Encoding") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			return mediaTypeProblem("header.Content-Encoding", "bodies are taken without a content coding such as gzip; send it plain").setHeader("Accept-Encoding", "identity")
		}
	}
	return nil
}

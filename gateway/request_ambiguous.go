// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// refuseAmbiguous refuses what one server reads in one way and the next in another, or what
// would be passed over here: a query that asks for a namespace must not be taken for
// one that asks for none.
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
		return wrongMediaType("header.Content-Type", "is there more than once; send it once")
	}
	for _, coding := range request.Header.Values("Content-Encoding") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			return wrongMediaType("header.Content-Encoding", "bodies are taken without a content coding such as gzip; send it plain").setHeader("Accept-Encoding", "identity")
		}
	}
	return nil
}

func wrongMediaType(field, detail string) *problem {
	return newFieldProblem(http.StatusUnsupportedMediaType, reasonMediaTypeUnknown, field, detail)
}

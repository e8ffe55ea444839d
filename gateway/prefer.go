// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxWait bounds the wait that a publisher may ask for.
const maxWait = 10 * time.Second

// preference is how long a publisher wants to wait for first attempts.
type preference struct {
	wait    time.Duration // 0: durable at once
	applied string        // the header Preference-Applied; "": none
}

// parsePrefer parses the header Prefer (RFC 7240): "respond-async", or "wait=N" in
// seconds. Given together they mean "at most N seconds", so wait goes first. Malformed and
// unknown preferences are ignored, as the RFC says.
func parsePrefer(header http.Header, defaultWait time.Duration) preference {
	async, wait := false, -1
	for _, line := range header.Values("Prefer") {
		for part := range strings.SplitSeq(line, ",") {
			token, _, _ := strings.Cut(part, ";") // parameters are ignored
			name, value, _ := strings.Cut(token, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				async = true
			case "wait":
				n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`))
				if err == nil && n >= 0 && wait < 0 { // the first one counts
					wait = n
				}
			}
		}
	}
	switch {
	case defaultWait <= 0 && async, wait < 0 && async:
		return preference{applied: "respond-async"}
	case defaultWait <= 0:
		return preference{}
	case wait >= 0:
		wait = min(wait, int(maxWait/time.Second))
		return preference{wait: time.Duration(wait) * time.Second, applied: "wait=" + strconv.Itoa(wait)}
	}
	return preference{wait: defaultWait}
}

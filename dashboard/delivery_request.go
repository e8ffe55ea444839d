// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"strconv"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// requestView is the request of the latest attempt, with code to verify it.
type requestView struct {
	Attempt  int
	URL      string // as it is now; "": unknown
	Headers  []requestHeader
	Snippets []requestSnippet
}

type requestHeader struct {
	Name, Value string
	Cut         bool // a signature, which is not kept
}

// requestSnippet is a program in one language that verifies a request.
type requestSnippet struct{ Language, Code string }

// cutSignature replaces a signature, with which a reader of the page could forge a
// delivery.
const cutSignature = "…"

// describeRequest describes the request of the latest attempt, without the signatures: the
// dashboard has no secret.
func describeRequest(delivery *Delivery, webhook *rest.Webhook) *requestView {
	if len(delivery.AttemptLog) == 0 {
		return nil
	}
	attempt := delivery.AttemptLog[len(delivery.AttemptLog)-1]
	view := &requestView{Attempt: attempt.Number, Snippets: requestSnippets()}
	if webhook != nil {
		view.URL = webhook.URL
	}
	add := func(name, value string) { view.Headers = append(view.Headers, requestHeader{Name: name, Value: value}) }
	addCut := func(name, value string) {
		view.Headers = append(view.Headers, requestHeader{Name: name, Value: value, Cut: true})
	}
	add("Content-Type", "application/json")
	add("X-BBMCP-Event", delivery.Event)
	add("X-BBMCP-Delivery", delivery.DeliveryID)
	add("X-BBMCP-Attempt", strconv.Itoa(attempt.Number))
	addCut("X-BBMCP-Signature", cutSignature)
	if delivery.Overlapped[attempt.Number] {
		addCut("X-BBMCP-Signature-Next", cutSignature)
	}
	add("webhook-id", delivery.EventID)
	add("webhook-timestamp", strconv.FormatInt(attempt.StartedAt.Unix(), 10))
	signatures := "v1," + cutSignature
	if delivery.Overlapped[attempt.Number] {
		signatures += " v1," + cutSignature
	}
	addCut("webhook-signature", signatures)
	if delivery.Test {
		add("X-BBMCP-Test", "true")
	}
	if delivery.TraceParent != "" {
		add("traceparent", delivery.TraceParent)
	}
	return view
}

// requestSnippets verify X-BBMCP-Signature over a body that was saved as it came. Each
// is a whole program that ends with 0 if the signature is right; a test runs
// them.
func requestSnippets() []requestSnippet {
	return []requestSnippet{
		{"Shell", `# SECRET: the signing secret, whole. SIGNATURE: the header X-BBMCP-Signature.
EXPECTED=$(openssl dgst -sha256 -hmac "$SECRET" -r < body.json | cut -d ' ' -f 1)
test "$EXPECTED" = "$SIGNATURE" && echo verified
`},
		{"Node.js", `import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

const { SECRET, SIGNATURE } = process.env; // the secret, whole; the header X-BBMCP-Signature
const expected = createHmac("sha256", SECRET).update(readFileSync("body.json")).digest();
const given = Buffer.from(SIGNATURE, "hex");
if (given.length !== expected.length || !timingSafeEqual(given, expected)) process.exit(1);
console.log("verified");
`},
		{"Python", `import hashlib, hmac, os, sys

secret = os.environ["SECRET"].encode()  # whole, with whsec_
given = os.environ["SIGNATURE"]         # the header X-BBMCP-Signature
body = open("body.json", "rb").read()   # the bytes as they came
expected = hmac.new(secret, body, hashlib.sha256).hexdigest()
if not hmac.compare_digest(expected, given):
    sys.exit(1)
print("verified")
`},
		{"Go", `package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
)

func main() {
	body, err := os.ReadFile("body.json") // the bytes as they came
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, []byte(os.Getenv("SECRET"))) // whole, with whsec_
	mac.Write(body)
	expected := hex.EncodeToString(mac.Sum(nil))
	if !hmac.Equal([]byte(expected), []byte(os.Getenv("SIGNATURE"))) {
		os.Exit(1)
	}
	fmt.Println("verified")
}
`},
	}
}

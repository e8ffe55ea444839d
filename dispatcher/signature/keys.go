// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"time"
)

// Names of the headers that carry signatures, spelled as they are sent.
const (
	HeaderSignature     = "X-BBMCP-Signature"
	HeaderSignatureNext = "X-BBMCP-Signature-Next"

	// Standard Webhooks 1.0.0.
	HeaderWebhookID        = "webhook-id"
	HeaderWebhookTimestamp = "webhook-timestamp"
	HeaderWebhookSignature = "webhook-signature"
)

// Keys sign one attempt.
type Keys struct {
	// Primary makes X-BBMCP-Signature and the first part of webhook-signature.
	Primary Secret
	// Secondary is the other secret while a rotation overlaps, else zero. It
	// makes X-BBMCP-Signature-Next and the second part of webhook-signature.
	Secondary Secret
}

// Headers are the values of the headers that depend on secrets or on the time.
type Headers struct {
	Signature        string // X-BBMCP-Signature
	SignatureNext    string // X-BBMCP-Signature-Next; empty unless a rotation overlaps
	WebhookTimestamp string // webhook-timestamp
	WebhookSignature string // webhook-signature
}

var errNoPrimary = errors.New("no primary signing secret")

// Sign signs one attempt at the event with this id: body is what is sent, byte
// for byte, and at becomes webhook-timestamp. It fails, and nothing may then be
// sent, if a secret breaks the grammar of [ValidateSecret].
func (k Keys) Sign(id string, at time.Time, body []byte) (Headers, error) {
	if k.Primary.IsZero() {
		return Headers{}, errNoPrimary
	}
	headers := Headers{WebhookTimestamp: strconv.FormatInt(at.Unix(), 10)}
	message := id + "." + headers.WebhookTimestamp + "."

	var err error
	if headers.Signature, headers.WebhookSignature, err = signWithKey(k.Primary, message, body); err != nil {
		return Headers{}, fmt.Errorf("primary signing secret: %w", err)
	}
	if k.Secondary.IsZero() {
		return headers, nil
	}
	next, standard, err := signWithKey(k.Secondary, message, body)
	if err != nil {
		return Headers{}, fmt.Errorf("secondary signing secret: %w", err)
	}
	headers.SignatureNext = next
	headers.WebhookSignature += " " + standard
	return headers, nil
}

// signWithKey returns the hex signature of body under the secret as it stands, and
// the Standard Webhooks signature of message and body.
func signWithKey(secret Secret, message string, body []byte) (ours, standard string, err error) {
	revealed := secret.Reveal()
	key, err := parseSecret(revealed)
	if err != nil {
		return "", "", err
	}
	var sum [sha256.Size]byte
	ours = hex.EncodeToString(computeMAC(hmac.New(sha256.New, []byte(revealed)), sum[:0], "", body))
	standard = "v1," + base64.StdEncoding.EncodeToString(computeMAC(hmac.New(sha256.New, key), sum[:0], message, body))
	return ours, standard, nil
}

func computeMAC(mac hash.Hash, sum []byte, message string, body []byte) []byte {
	mac.Write([]byte(message))
	mac.Write(body)
	return mac.Sum(sum)
}

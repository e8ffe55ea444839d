// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"strings"
)

// deliveryHashBytes is 160 bits: no two deliveries of a cluster share an id.
const deliveryHashBytes = 20

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding) //nolint:gochecknoglobals // never changed

// WebhookID is wh_ and 16 hexadecimal digits of SHA-256 over "namespace/name".
func WebhookID(namespace, name string) string {
	sum := sha256.Sum256([]byte(namespace + "/" + name))
	return "wh_" + hex.EncodeToString(sum[:8])
}

// DeliveryName is the name of the object for one event on its way to one
// webhook: dlv- and 32 characters of base32 over event id and webhook UID, so
// that publishing the same event twice meets the same object.
func DeliveryName(eventID, webhookUID string) string {
	return "dlv-" + identityHash(eventID, webhookUID)
}

// DeliveryID is dlv_ and 32 characters of base32: those of the object's name if
// the gateway named it, a hash of its UID if a person did.
func DeliveryID(name, uid string) string {
	if rest, ok := strings.CutPrefix(name, "dlv-"); ok && isIdentityHash(rest) {
		return "dlv_" + rest
	}
	return "dlv_" + identityHash("uid", uid)
}

// CloudEventID is the event id of a CloudEvent, which source and id identify
// together: ce_ and 32 characters of base32. A source holds no NUL.
func CloudEventID(source, id string) string {
	return "ce_" + identityHash("cloudevent", source, id)
}

// maxLabelBytes is the length of the longest value of a label.
const maxLabelBytes = 63

// LabelValue is the name of an object, cut to what the value of a label holds.
func LabelValue(name string) string {
	return strings.TrimRight(name[:min(len(name), maxLabelBytes)], ".-")
}

func identityHash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base32Lower.EncodeToString(sum[:deliveryHashBytes])
}

func isIdentityHash(text string) bool {
	raw, err := base32Lower.DecodeString(text)
	return err == nil && len(raw) == deliveryHashBytes
}

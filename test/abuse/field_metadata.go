// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// metadataValues are what is written into metadata of any kind, by member: all labels
// and annotations that the product reads get the same value at once.
func (v fieldVictim) metadataValues(root string) (map[string][]any, error) {
	keys, err := metadataKeys(root)
	if err != nil {
		return nil, err
	}
	all := map[string][]any{
		"generation": {int64(math.MinInt64), -1, int64(math.MaxInt64)}, "deletionGracePeriodSeconds": {-1, int64(math.MaxInt64)},
		"creationTimestamp": farTimes(time.RFC3339), "deletionTimestamp": farTimes(time.RFC3339),
		"finalizers": {[]any{"foregroundDeletion"}, []any{"orphan"}, []any{"bbmcp.quietstack.com/keep"}, []any{v.Namespace + "/" + v.Webhook}, []any{""}},
	}
	for _, value := range slices.Concat(v.texts(), []any{"true", "1", "-1", "9223372036854775807", "gateway", strings.Repeat("a", 63), strings.Repeat("a", 8<<10)}, farTimes(time.RFC3339)) {
		each := map[string]any{}
		for _, key := range keys {
			each[key] = value
		}
		all["labels"], all["annotations"] = append(all["labels"], each), append(all["annotations"], each)
	}
	owner := map[string]any{"apiVersion": apiVersion, "kind": "Webhook", "name": v.Webhook, "uid": v.UID, "controller": true}
	for member, values := range map[string][]any{
		"apiVersion": {"v1", group + "/v1", ""}, "kind": {"WebhookDelivery", "Namespace", ""}, "controller": {true, false}, "blockOwnerDeletion": {true, false},
		"name": {v.Webhook, v.Delivery, v.Namespace, "", strings.Repeat("a", 253)}, "uid": {v.UID, v.DeliveryUID, "", strings.Repeat("a", 300)},
	} {
		for _, value := range values {
			one := maps.Clone(owner)
			one[member] = value
			all["ownerReferences."+member] = append(all["ownerReferences."+member], []any{one})
		}
	}
	for _, member := range []string{"name", "generateName", "namespace", "uid", "resourceVersion", "selfLink"} {
		all[member] = []any{v.Webhook, v.Namespace, v.Delivery, v.UID, "1", "", strings.Repeat("a", 253)}
	}
	for _, at := range farTimes(time.RFC3339) {
		all["managedFields"] = append(all["managedFields"], []any{map[string]any{
			"manager": "bbmcp-gateway", "operation": "Apply", "apiVersion": apiVersion, "time": at,
			"fieldsType": "FieldsV1", "fieldsV1": map[string]any{"f:spec": map[string]any{}},
		}})
	}
	return all, nil
}

// metadataKeys lists the labels and annotations of ours that the product's source names.
func metadataKeys(root string) ([]string, error) {
	key, found := regexp.MustCompile(`"(bbmcp\.quietstack\.com/[a-z][a-z-]*)"`), map[string]bool{}
	tree := os.DirFS(root)
	for _, folder := range []string{"api", "controllers", "gateway", "internal"} {
		err := fs.WalkDir(tree, folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := fs.ReadFile(tree, path)
			for _, one := range key.FindAllStringSubmatch(string(text), -1) {
				found[one[1]] = true
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	const least = 10
	if len(found) < least {
		return nil, fmt.Errorf("only %d labels and annotations are found in the source", len(found))
	}
	return slices.Sorted(maps.Keys(found)), nil
}

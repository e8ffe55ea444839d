// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

func TestEntriesOfAWebhookAreDroppedOnceItIsGone(t *testing.T) {
	webhook := someWebhook()
	successor := webhook.DeepCopy()
	successor.UID = "the-uid-of-its-successor"
	for name, tt := range map[string]struct {
		present     []*v1alpha1.Webhook
		name, byUID bool // whether entries by name and by uid are dropped
	}{
		"a webhook that is there keeps its entries":         {[]*v1alpha1.Webhook{webhook}, false, false},
		"a webhook that is gone loses its entries":          {nil, true, true},
		"a webhook made anew keeps the entries of its name": {[]*v1alpha1.Webhook{successor}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := v1alpha1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			cached := fake.NewClientBuilder().WithScheme(scheme)
			for _, object := range tt.present {
				cached.WithObjects(object.DeepCopy())
			}
			r := &webhookRegistry{cached: cached.Build()}
			var names []types.NamespacedName
			var uids []types.UID
			r.onDelete(func(name types.NamespacedName) { names = append(names, name) })
			r.onAbsent(func(name types.NamespacedName) { names = append(names, name) })
			r.onDeleteUID(func(uid types.UID) { uids = append(uids, uid) })

			r.dropIfGone(t.Context(), nil)
			r.dropIfGone(t.Context(), webhook)

			same(t, len(names) == 2 && names[0] == client.ObjectKeyFromObject(webhook) && names[1] == client.ObjectKeyFromObject(webhook), tt.name)
			same(t, len(uids) == 1 && uids[0] == webhook.UID, tt.byUID)
		})
	}
}

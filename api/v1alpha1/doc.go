// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the resources of group bbmcp.quietstack.com: Webhook,
// WebhookDelivery and EventType.
//
// The field comments are the manual that kubectl explain prints. Changes are
// additive only; there is never a conversion webhook. The package holds types
// and the names that are API (labels, annotations, condition types, reasons)
// and no behaviour. Everyone may import it; it imports apimachinery only.
//
// +kubebuilder:object:generate=true
// +groupName=bbmcp.quietstack.com
package v1alpha1

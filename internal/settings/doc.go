// SPDX-License-Identifier: Apache-2.0

// Package settings gives the settings of a Webhook with defaults filled in: the API
// server fills in those of the CRD, but not in groups that a Webhook leaves out.
//
// It is pure. Controllers, gateway and dashboard take the policy of a Webhook from here
// and nowhere else.
package settings

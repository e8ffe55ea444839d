// SPDX-License-Identifier: Apache-2.0

package publish

// Reasons of failures, in addition to those of packages payload and store. They are those of the problems that package
// gateway makes of the failures, and API: never reworded.
const (
	reasonEventIDTaken         = "EventIDTaken"
	reasonEventTypeInvalid     = "EventTypeInvalid"
	reasonFieldInvalid         = "FieldInvalid"
	reasonInternal             = "Internal"
	reasonNamespaceTerminating = "NamespaceTerminating"
	reasonNotFound             = "NotFound"
	reasonPolicyDenied         = "PolicyDenied"
	reasonQuotaExceeded        = "QuotaExceeded"
	reasonSchemaTooCostly      = "SchemaTooCostly"
	reasonSchemaViolated       = "SchemaViolated"
	reasonTooManyRequests      = "TooManyRequests"
	reasonTypeNotRegistered    = "EventTypeNotRegistered"
	reasonUnavailable          = "Unavailable"
)

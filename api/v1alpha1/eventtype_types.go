// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EventType is an entry of the catalogue of events that can be published.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=evt,categories=bbmcp
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.status.type`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Description",type=string,JSONPath=`.spec.description`,priority=1
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:validation:XValidation:rule="has(self.spec.type) || self.metadata.name.matches('^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$')",message="metadata.name is not an event type (at most 128 characters); set spec.type"
type EventType struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec describes the events of this type.
	// +required
	Spec EventTypeSpec `json:"spec,omitzero"`

	// status says whether this entry is in force.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status EventTypeStatus `json:"status,omitzero"`
}

// EventTypeList is a list of EventTypes.
//
// +kubebuilder:object:root=true
type EventTypeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []EventType `json:"items"`
}

// EventTypeSpec describes the events of a type.
//
// +kubebuilder:validation:MinProperties=1
type EventTypeSpec struct {
	// type is the name of the type, for example context.created: a letter or
	// digit, then up to 127 of A-Z a-z 0-9 _ . -. If unset, metadata.name. Of
	// two objects with one type the older counts.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`
	Type string `json:"type,omitempty"`

	// description says when such an event is sent, at most 1024 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Description string `json:"description,omitempty"`

	// schema is a JSON Schema (2020-12) for the member "data" of such events,
	// as JSON text of at most 65536 characters and 64 levels, with patterns of at
	// most 1024 characters. References to other documents are refused. An event
	// that would cost too much to check is refused, too. If unset, every object is
	// accepted.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=65536
	Schema string `json:"schema,omitempty"`

	// example is the member "data" of an example event, as JSON text of at most
	// 65536 characters. It must satisfy the schema; test events carry it.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=65536
	Example string `json:"example,omitempty"`
}

// EventTypeStatus says whether an entry of the catalogue is in force.
type EventTypeStatus struct {
	// observedGeneration is the metadata.generation that this status speaks of;
	// -1 until the controller has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// type is the event type in force: spec.type, or metadata.name.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Type string `json:"type,omitempty"`

	// conditions hold Ready: whether this entry is in force.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('0001-01-01T00:00:00Z'))",message="lastTransitionTime must be an RFC 3339 time such as 2024-01-15T10:30:00Z"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Reasons of an EventType's condition Ready. They are API: never reworded.
const (
	// ReasonRegistered: True; events of this type can be published.
	ReasonRegistered = "Registered"
	// ReasonDuplicateType: False; an older EventType has the same type.
	ReasonDuplicateType = "DuplicateType"
	// ReasonSchemaInvalid: False; spec.schema is not a JSON Schema.
	ReasonSchemaInvalid = "SchemaInvalid"
	// ReasonExampleInvalid: False; spec.example does not satisfy the schema or
	// cannot be carried.
	ReasonExampleInvalid = "ExampleInvalid"
)

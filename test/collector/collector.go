// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Span is what was told of one span.
type Span struct {
	Service, Name, Kind       string
	TraceID, SpanID, ParentID string   // in hex
	Links                     []string // ids of spans
	Failed                    bool
	Attributes                map[string]string
}

// Collector takes spans. Its methods may be called concurrently.
type Collector struct {
	coltracepb.UnimplementedTraceServiceServer

	overGRPC *grpc.Server
	overHTTP *http.Server
	grpcAddr string
	httpAddr string

	mu    sync.Mutex
	spans []Span
	raw   []byte
}

// Start listens on two ports of loopback. The caller closes it.
func Start() (*Collector, error) {
	c := &Collector{overGRPC: grpc.NewServer()}
	var listeners [2]net.Listener
	for i := range listeners {
		var err error
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("start a collector: %w", err)
		}
	}
	coltracepb.RegisterTraceServiceServer(c.overGRPC, c)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.post)
	c.overHTTP = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	c.grpcAddr, c.httpAddr = listeners[0].Addr().String(), listeners[1].Addr().String()
	go func() { _ = c.overGRPC.Serve(listeners[0]) }()
	go func() { _ = c.overHTTP.Serve(listeners[1]) }()
	return c, nil
}

// Close ends it.
func (c *Collector) Close() {
	c.overGRPC.Stop()
	_ = c.overHTTP.Close()
}

// Env makes a program send its spans here; protocol is grpc or http/protobuf.
func (c *Collector) Env(protocol string) []string {
	address := c.httpAddr
	if protocol == "grpc" {
		address = c.grpcAddr
	}
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + address, "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol, "OTEL_BSP_SCHEDULE_DELAY=100"}
}

// Export implements the service of OTLP over gRPC.
func (c *Collector) Export(_ context.Context, request *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	raw, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	c.take(request, raw)
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

// post is OTLP over HTTP.
func (c *Collector) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	request := &coltracepb.ExportTraceServiceRequest{}
	if err := errors.Join(err, proto.Unmarshal(body, request)); err != nil || r.Header.Get("Content-Encoding") != "" {
		http.Error(w, "only plain protobuf is taken", http.StatusBadRequest)
		return
	}
	c.take(request, body)
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(http.StatusOK) // an empty message has no bytes
}

func (c *Collector) take(request *coltracepb.ExportTraceServiceRequest, raw []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, raw...)
	for _, resource := range request.GetResourceSpans() {
		service := spanAttributes(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.spans = append(c.spans, readSpan(service, span))
			}
		}
	}
}

func readSpan(service string, span *tracepb.Span) Span {
	read := Span{
		Service: service, Name: span.GetName(), Kind: span.GetKind().String(),
		TraceID: hex.EncodeToString(span.GetTraceId()), SpanID: hex.EncodeToString(span.GetSpanId()),
		ParentID: hex.EncodeToString(span.GetParentSpanId()),
		Failed:   span.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, Attributes: spanAttributes(span.GetAttributes()),
	}
	for _, link := range span.GetLinks() {
		read.Links = append(read.Links, hex.EncodeToString(link.GetSpanId()))
	}
	return read
}

func spanAttributes(attributes []*commonpb.KeyValue) map[string]string {
	all := map[string]string{}
	for _, attribute := range attributes {
		switch value := attribute.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			all[attribute.GetKey()] = value.StringValue
		case *commonpb.AnyValue_IntValue:
			all[attribute.GetKey()] = fmt.Sprint(value.IntValue)
		default:
			all[attribute.GetKey()] = attribute.GetValue().String()
		}
	}
	return all
}

// Trace returns the spans of one trace, in the order they came.
func (c *Collector) Trace(id string) []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []Span
	for _, span := range c.spans {
		if span.TraceID == id {
			found = append(found, span)
		}
	}
	return found
}

// Raw is all that came, as it came.
func (c *Collector) Raw() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.raw)
}

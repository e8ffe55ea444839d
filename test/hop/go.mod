module bbmcp.quietstack.com/webhooks/test/hop

go 1.26.0

require (
	bbmcp.quietstack.com/webhooks v0.0.0
	github.com/containerd/ttrpc v1.2.9
	google.golang.org/grpc v1.82.1
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/containerd/log v0.1.0 // indirect
	github.com/sirupsen/logrus v1.9.3 // indirect
	golang.org/x/net v0.59.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260526163538-3dc84a4a5aaa // indirect
)

replace bbmcp.quietstack.com/webhooks => ../..

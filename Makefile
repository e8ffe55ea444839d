# SPDX-License-Identifier: Apache-2.0

# Everything that a person or CI runs. Scripts over ten lines are in hack/.

SHELL := /usr/bin/env bash -o pipefail
.SHELLFLAGS := -ec
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

VERSION ?= dev
LDFLAGS := -s -w -X bbmcp.quietstack.com/webhooks/internal/version.stamp=$(VERSION)
TEST_TIMEOUT ?= 30m
TEST_FLAGS ?=
# The race detector needs a C compiler; Go says whether it has found one.
RACE := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)
# At its end a program waits for races of goroutines that are left: a second, if
# nobody says otherwise, in each of a hundred packages.
export GORACE ?= atexit_sleep_ms=100
PACKAGES ?= ./...

# The image that make image builds: what config/ and the chart name.
IMAGE ?= registry.quietstack.com/bbmcp-webhooks:0.1.0
# These are taken from the command line only: in the environment such names are somebody else's.
# make release: KEY=file signs, DIRTY=1 takes changes that are not committed, OUT is the folder, BUILDER the URI of the machine.
PLATFORMS =
KEY =
DIRTY =
OUT = dist
BUILDER =
REGISTRY =

# ONCE is passed on as it is given: make demo ONCE=1 stops when all has arrived.
ONCE ?=

# CLUSTER=current runs the demo in the cluster of the kubeconfig. CONTEXT names it unless
# a tool made it on this machine; an IMAGE that is given is one that its nodes pull. The
# demo takes both from the command line only: what a shell exports may be meant for others.
CLUSTER ?=
CONTEXT ?=

.PHONY: help
help: ## Show this text
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-zA-Z0-9_-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Run

.PHONY: demo
demo: ## Show the product at work on this machine (CLUSTER=current: in a cluster; ONCE=1: stop when all has arrived)
	go run ./hack/demo $(strip $(if $(filter-out 0 false,$(ONCE)),--once) $(if $(CLUSTER),--cluster='$(CLUSTER)' \
	  $(if $(filter command,$(origin CONTEXT)),--context='$(CONTEXT)') $(if $(filter command,$(origin IMAGE)),--image='$(IMAGE)')))

##@ Build

.PHONY: build
build: ## Build the static binaries into bin/ (VERSION=1.2.3)
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/bbmcp-webhooks .
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/dispatcher ./cmd/dispatcher
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/bbmcp ./cmd/bbmcp
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/receiver ./hack/receiver

.PHONY: image
image: ## Build the image into bin/image (IMAGE=name:tag, PLATFORMS=linux/amd64,linux/arm64)
	hack/image $(IMAGE) $(PLATFORMS)

.PHONY: install.yaml
install.yaml: ## Write all of config/ into bin/install.yaml, and the event types beside it
	@mkdir -p bin
	go run ./hack/kustomize config > bin/install.yaml
	go run ./hack/kustomize config/eventtypes > bin/eventtypes.yaml

# Recipes read what is given as variables of the shell: pasted into a line, a value such as 1';reboot;' is a command.
release: export VERSION := $(VERSION)
release: export PLATFORMS := $(PLATFORMS)
release: export KEY := $(KEY)
release: export BUILDER := $(BUILDER)
push-release: export REGISTRY := $(REGISTRY)
release push-release: export OUT := $(OUT)

.PHONY: release
release: bin/packer ## Make all files of a release in dist/ (VERSION=1.2.3; KEY=key.pem signs; PLATFORMS=linux/amd64,… makes some)
	bin/packer make --version="$$VERSION" --platforms="$$PLATFORMS" --out="$$OUT" --key="$$KEY" --builder="$$BUILDER" \
	  $(if $(filter-out 0 false,$(DIRTY)),--dirty)

.PHONY: push-release
push-release: bin/packer ## Push image, chart and signatures in dist/ (REGISTRY=host to push elsewhere than the image is named after)
	bin/packer push --registry="$$REGISTRY" "$$OUT"

.PHONY: control-plane
control-plane: ## Get kube-apiserver, kube-controller-manager and etcd, once: official releases, else built
	go run ./hack/ensurecontrolplane

.PHONY: clean
clean: ## Remove bin/ (the control plane stays in the user's cache folder)
	rm -rf bin

##@ Change

.PHONY: generate
generate: bin/controller-gen bin/crd-ref-docs ## Regenerate deep copies, CRDs, roles, docs/reference and what the chart takes from them
	hack/generate

.PHONY: format
format: bin/golangci-lint ## Format Go code and sort its imports
	bin/golangci-lint fmt

.PHONY: lint
lint: bin/golangci-lint ## Run the linters, those of the Kubernetes API included
	bin/golangci-lint run

.PHONY: check-walls
check-walls: bin/golangci-lint ## Plant an import through each wall between packages: the linter must refuse them all
	hack/check-walls

.PHONY: verify
verify: generate lint check-walls ## Regenerate and lint; fail on any diff, untracked or oversized file, page that misleads, or missing licence
	hack/verify

##@ Test

# One package at a time: some run a whole control plane and keep time. test/abuse
# without the race detector, which would make the neighbour slow that it plays.
.PHONY: test
test: control-plane ## Run every test that only needs Go, with the race detector
	@$(if $(RACE),,echo "make: no C compiler, so no race detector in this run")
	go build $(RACE) $(PACKAGES)
	packages="$$(go list $(PACKAGES))"; \
	go test $(RACE) -p 1 -timeout $(TEST_TIMEOUT) $(TEST_FLAGS) $$(grep -v '/test/abuse$$' <<<"$$packages"); \
	if grep -q '/test/abuse$$' <<<"$$packages"; then go test -timeout $(TEST_TIMEOUT) $(TEST_FLAGS) ./test/abuse; fi

.PHONY: test-slow
test-slow: control-plane ## Run the tests that wait in real time, such as the whole retry table
	go test $(RACE) -tags slow -count 1 -timeout $(TEST_TIMEOUT) ./test/process -ginkgo.focus 'in real time' $(TEST_FLAGS)

.PHONY: check-node
check-node: control-plane ## Check payloads, signatures and the receiver in a real JavaScript engine (needs Node.js)
	test/node/run

.PHONY: check-python
check-python: control-plane ## Check payloads, signatures, the SDK and the receiver in Python (needs Python 3.9 and Flask)
	test/python/run

.PHONY: check-endpoints
check-endpoints: ## Make attempts at endpoints as they are found in the world (needs Linux, Node.js and nginx)
	test/endpoints/run

.PHONY: check-dashboard
check-dashboard: control-plane ## Use the dashboard in a real Chromium (needs Node.js and Python; screenshots in bin/dashboard)
	test/dashboard/run

.PHONY: screenshots
screenshots: control-plane ## Take the screenshots of the documents anew
	FOCUS='screenshots of the documents' DOCUMENTS=1 test/dashboard/run

.PHONY: check-kubectl
check-kubectl: control-plane ## Use the product through a real kubectl
	hack/check-kubectl

.PHONY: check-curl
check-curl: control-plane ## Run the commands of all pages in docs/ with real curl, kubectl and bbmcp
	hack/check-curl

.PHONY: kubectl-check
kubectl-check: check-kubectl

.PHONY: check-helm
check-helm: control-plane bin/helm3 bin/helm4 ## Install, upgrade and remove the chart with Helm 3 and 4, and config/ with kubectl
	hack/check-helm

.PHONY: check-image
check-image: image ## Build the image, look into it, and build it once more elsewhere: both must be equal
	hack/check-image $(IMAGE) $(PLATFORMS)

.PHONY: check-release
check-release: bin/actionlint ## Make a release twice in two clones: equal, signed, installable; and check the workflows (PLATFORMS=…)
	hack/check-release $(PLATFORMS)

.PHONY: e2e
e2e: bin/helm3 bin/helm4 ## Make a release, install it from a registry on a real node and replace everything under load (Linux and root; FOCUS=regexp runs some)
	hack/e2e

.PHONY: check-alerts
check-alerts: ## Check the alerts and let each fire once (needs promtool)
	hack/check-alerts

# SCENARIO=inline,forwarder runs some; SIZE=short is a look; PROFILE=folder keeps CPU profiles.
SCENARIO ?=
SIZE ?= full
PROFILE ?=

.PHONY: bench
bench: control-plane ## Measure the product beside references, at most 25 minutes (SCENARIO=inline,forwarder: some)
	@mkdir -p bin
	go build -o bin/bench ./bench
	bin/bench --scenario='$(SCENARIO)' --size='$(SIZE)' --profile='$(PROFILE)'

# SCALE=0.1 is a look.
SCALE ?= 1

.PHONY: bench-log
bench-log: ## Measure the engine of the log alone, at most 25 minutes (Linux and root; SCENARIO=fan,many: some; SCALE=0.1: a look)
	@mkdir -p bin
	cd bench/log && go build -o ../../bin/bench-log .
	bin/bench-log -scenario='$(SCENARIO)' -scale='$(SCALE)'

##@ Tools

# It is built each time, for Go knows what has changed. Settings of the user that would change what it writes are set
# here; GOFLAGS is not empty, for Go would then look for another.
.PHONY: bin/packer
bin/packer:
	cd hack/release && CGO_ENABLED=0 GOWORK=off GOFLAGS=-buildvcs=false GOTOOLCHAIN=local GOFIPS140=off go build -trimpath -o ../../$@ .

bin/controller-gen: hack/tools/go.mod hack/tools/go.sum
	cd hack/tools && go build -o ../../$@ sigs.k8s.io/controller-tools/cmd/controller-gen

bin/crd-ref-docs: hack/tools/crd-ref-docs/go.mod hack/tools/crd-ref-docs/go.sum
	cd hack/tools/crd-ref-docs && go build -o ../../../$@ github.com/elastic/crd-ref-docs

bin/golangci-lint: hack/tools/golangci-lint/go.mod hack/tools/golangci-lint/go.sum
	cd hack/tools/golangci-lint && go build -o ../../../$@ sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter

bin/actionlint: hack/tools/actionlint/go.mod hack/tools/actionlint/go.sum
	cd hack/tools/actionlint && go build -o ../../../$@ github.com/rhysd/actionlint/cmd/actionlint

bin/helm3: hack/tools/helm3/go.mod hack/tools/helm3/go.sum
	hack/build-helm 3 $@

bin/helm4: hack/tools/helm/go.mod hack/tools/helm/go.sum
	hack/build-helm 4 $@

.PHONY: tools
tools: bin/actionlint bin/controller-gen bin/crd-ref-docs bin/golangci-lint bin/helm3 bin/helm4 ## Build the pinned tools into bin/

# rebootd. Every target says what it does: make help.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LINT_VERSION := v2.15.0
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rebootd-test/tools
LINT := $(TOOLS)/golangci-lint-$(LINT_VERSION)

.PHONY: help
help: ## Show this help.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the agent into bin/.
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/rebootd ./cmd/rebootd

.PHONY: plugin
plugin: ## Build the kubectl plugin into bin/, with its completion beside it.
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/kubectl-reboot ./cmd/kubectl-reboot
	install -m 755 cmd/kubectl-reboot/kubectl_complete-reboot bin/kubectl_complete-reboot

PLUGIN_PLATFORMS ?= linux_amd64 linux_arm64 darwin_amd64 darwin_arm64 windows_amd64

.PHONY: plugin-archives
plugin-archives: ## Build the plugin for all platforms into dist/, as .krew.yaml expects it of a release.
	@mkdir -p dist && set -e && for p in $(PLUGIN_PLATFORMS); do \
		os=$${p%_*} arch=$${p#*_} dir=$$(mktemp -d) exe= ; [ $$os != windows ] || exe=.exe; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $$dir/kubectl-reboot$$exe ./cmd/kubectl-reboot; \
		install -m 755 cmd/kubectl-reboot/kubectl_complete-reboot $$dir/; cp LICENSE $$dir/; \
		tar -C $$dir --sort=name --owner=0 --group=0 -czf dist/kubectl-reboot_$$p.tar.gz .; rm -r $$dir; \
		echo dist/kubectl-reboot_$$p.tar.gz; done

.PHONY: image
image: ## Build the container image into dist/rebootd.tar, without a container daemon.
	$(GO) run ./test/image -version "$(VERSION)" -o dist/rebootd.tar

.PHONY: demo
demo: ## Show the whole job on three real nodes (root, linux/amd64; Debian packages are installed if missing).
	@$(GO) run ./test/demo

.PHONY: demo-sim
demo-sim: ## Show the same on simulated nodes; needs neither root nor a special kernel.
	@$(GO) run ./test/demo --simulate

.PHONY: transcript
transcript: ## Run the demo and take what the README shows of it.
	$(GO) run ./test/demo | tee /dev/stderr | $(GO) run ./test/docs/transcript > test/docs/transcript/demo.txt.new
	mv test/docs/transcript/demo.txt.new test/docs/transcript/demo.txt
	$(GO) run ./test/docs

.PHONY: unit
unit: ## Run the unit tests: pure code and fakes, under a minute.
	$(GO) test -race -short ./cmd/... ./pkg/...

.PHONY: test
test: ## Run the unit tests and everything that needs a real API server or simulated nodes.
	@command -v gcc >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev; }
	@command -v spin >/dev/null || [ "$$(id -u)" != 0 ] || { apt-get update -qq && apt-get install -y -qq --no-install-recommends spin; }
	$(GO) test -race -timeout 30m ./...
	$(GO) test -count=1 ./pkg/plan
	$(GO) test -count=1 -v -run 'TestFleet$$' ./test/fleet -for=90s -parts=$$(nproc)

.PHONY: soak
soak: ## Play simulated fleets with new seeds for long: SOAK=8h make soak (an hour if not said).
	$(GO) test -count=1 -v -timeout 0 -run 'TestFleet$$' ./test/fleet -for=$(or $(SOAK),1h) -parts=$$(nproc) -from=$$(date +%s)000000 -go-on

.PHONY: model
model: ## Check the model of lock and record in every order of events (spin and gcc, from apt if missing).
	@{ command -v gcc && command -v spin; } >/dev/null || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev spin; }
	$(GO) test -count=1 -v -run 'TestModel' ./test/model

.PHONY: e2e
e2e: ## Run the tests on real nodes that really reboot (root, linux/amd64).
	$(GO) test -tags e2e -count=1 -timeout 45m -v ./test/e2e

.PHONY: lint
lint: $(LINT) ## Check format, style, the module files, the generated docs, the chart and manifests/.
	$(LINT) run --allow-parallel-runners ./...
	$(LINT) run --allow-parallel-runners --build-tags e2e ./test/e2e/...
	$(GO) mod tidy -diff
	$(GO) run ./test/docs -check
	$(GO) run ./test/chart -check

$(LINT):
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv $(TOOLS)/golangci-lint $@

.PHONY: docs
docs: ## Write the generated parts of docs/ anew from the code.
	$(GO) run ./test/docs

.PHONY: docs-check
docs-check: ## Check the documentation: links, generated parts, and that its commands and values are such as there are.
	$(GO) run ./test/docs -check
	$(GO) run ./test/chart -check
	$(GO) test ./test/docs/... ./cmd/kubectl-reboot/internal/cli -run 'Docs|Commands|Values|Split|Examples|Nav|Templates|Reference'
	$(GO) test ./test/arch ./pkg/config -run 'Links|Listed|GatesPage|Pages|Documented'

.PHONY: generate
generate: ## Write all that is made from the code anew, golden files too: look at the diff.
	UPDATE_GOLDEN=1 $(GO) test -run 'TestHelp$$|TestScenarios' ./pkg/config ./pkg/plan
	UPDATE_GOLDEN=1 $(GO) test ./cmd/kubectl-reboot/internal/cli
	$(GO) run ./test/docs
	$(GO) run ./test/chart
	UPDATE_GOLDEN=1 $(GO) test -run Golden ./test/chart

.PHONY: chart
chart: ## Write the generated parts of the chart and manifests/ anew from the code.
	$(GO) run ./test/chart

.PHONY: chart-test
chart-test: ## Lint the chart, render it with many values against what is expected, and ask a real API server; helm is built if missing.
	$(GO) test -count=1 ./test/chart
	$(GO) test -count=1 -run 'APIServerTakesTheChart|Policy' ./test/integration

.PHONY: clean
clean: ## Remove what was built here; caches outside the repository stay.
	rm -rf bin dist

# rebootd. Every target says what it does: make help.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LINT_VERSION := v2.15.0
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rebootd-test/tools
LINT := $(TOOLS)/golangci-lint-$(LINT_VERSION)
ACTIONLINT_VERSION := v1.7.12
ACTIONLINT := $(TOOLS)/actionlint-$(ACTIONLINT_VERSION)
VULNCHECK_VERSION := v1.9.0
VULNCHECK := $(TOOLS)/govulncheck-$(VULNCHECK_VERSION)
SYFT_VERSION := v1.57.0
SYFT := $(TOOLS)/syft-$(SYFT_VERSION)

.PHONY: help
help: ## Show this help.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the agent into bin/.
	CGO_ENABLED=0 $(GO) build -trimpath -gcflags=all=-l -ldflags "-s -w -X main.version=$(VERSION)" -o bin/rebootd ./cmd/rebootd

.PHONY: plugin
plugin: ## Build the kubectl plugin into bin/, with its completion beside it.
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/kubectl-reboot ./cmd/kubectl-reboot
	install -m 755 cmd/kubectl-reboot/kubectl_complete-reboot bin/kubectl_complete-reboot

PLATFORMS ?= linux/$(shell $(GO) env GOARCH)

.PHONY: image
image: ## Build the container image into dist/rebootd.tar, without a container daemon. PLATFORMS=linux/amd64,linux/arm64
	$(GO) run ./test/image -version "$(VERSION)" -platforms $(PLATFORMS) -o dist/rebootd.tar

.PHONY: image-push
image-push: ## Build the image for all platforms and push it to TAG=registry/name:tag, as docker login allows.
	@$(GO) run ./test/image -version "$(VERSION)" -platforms linux/amd64,linux/arm64,linux/arm/v7 -tag "$(TAG)" -push -o dist/rebootd.tar

.PHONY: sbom
sbom: $(SYFT) ## List what is in the container image in dist/rebootd.spdx.json (SPDX).
	$(GO) run ./test/image -version "$(VERSION)" -platforms linux/amd64 -o dist/rebootd-amd64.tar
	SYFT_CHECK_FOR_APP_UPDATE=false SYFT_GOLANG_SEARCH_LOCAL_MOD_CACHE_LICENSES=true $(SYFT) scan -q oci-archive:dist/rebootd-amd64.tar \
		--source-name rebootd --source-version "$(VERSION)" -o spdx-json=dist/rebootd.spdx.json

.PHONY: syft
syft: $(SYFT) ## Build the tool that lists what is in an image, and print its path.
	@echo $(SYFT)

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

.PHONY: bench
bench: ## Measure what rebootd costs and how fast it is, and fail where a count misses its target (BENCH=full: for hours).
	@trap '$(GO) run ./test/docs' EXIT; $(GO) run ./test/bench -o test/bench/results.json

.PHONY: lint
lint: $(LINT) $(ACTIONLINT) vuln ## Check format, style, module files, known vulnerabilities, workflows, generated docs, chart and manifests/.
	$(LINT) run --allow-parallel-runners ./...
	$(LINT) run --allow-parallel-runners --build-tags e2e ./test/e2e/...
	$(ACTIONLINT)
	$(GO) mod tidy -diff
	$(GO) run ./test/docs -check
	$(GO) run ./test/chart -check

.PHONY: vuln
vuln: $(VULNCHECK) ## Look for known vulnerabilities; GOVULNCHECK=required fails where their database can't be reached.
	@$(VULNCHECK) $(VULNFLAGS) ./... 2>$(TOOLS)/vuln.log || { code=$$?; cat $(TOOLS)/vuln.log >&2; \
		[ "$$GOVULNCHECK" != required ] && grep -q '^govulncheck: fetching vulnerabilities: ' $(TOOLS)/vuln.log && \
		echo "Nobody looked for known vulnerabilities." >&2 || exit $$code; }

# A tool is built once and kept, under a name that has its version.
define tool
$(1):
	mkdir -p $$(TOOLS)/new
	GOBIN=$$(TOOLS)/new GOFLAGS= $$(GO) install -ldflags "$(3)" $(2)
	mv $$(TOOLS)/new/$$(notdir $(firstword $(subst @, ,$(2)))) $$@
endef
$(eval $(call tool,$(LINT),github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION),))
$(eval $(call tool,$(ACTIONLINT),github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION),))
$(eval $(call tool,$(VULNCHECK),golang.org/x/vuln/cmd/govulncheck@$(VULNCHECK_VERSION),))
$(eval $(call tool,$(SYFT),github.com/anchore/syft/cmd/syft@$(SYFT_VERSION),-X main.version=$(SYFT_VERSION)))

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
	$(GO) test -count=1 -run 'APIServerTakesTheChart|Kubeconform|Policy' ./test/integration

.PHONY: clean
clean: ## Remove what was built here; caches outside the repository stay.
	rm -rf bin dist

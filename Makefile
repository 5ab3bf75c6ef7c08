# Everything is built into bin/, which `make clean` removes.
SHELL := bash
# pipefail: a failed `go test` must not be hidden by the program that counts.
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
BINARY := bin/robustmq-connect
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# The version is part of the path, so that a new one is built and not assumed.
GOLANGCI := bin/tools/golangci-lint-v2.12.2/golangci-lint
GOFUMPT := bin/tools/gofumpt-v0.12.0/gofumpt
GOVULNCHECK := bin/tools/govulncheck-v1.9.0/govulncheck
HELM := bin/tools/helm-v3.22.0/helm

##@ For users
.PHONY: build
build: ## Build the static binary bin/robustmq-connect
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o $(BINARY) ./cmd/robustmq-connect

.PHONY: demo
demo: build ## Watch MQTT messages arrive in Kafka, all embedded (ARGS="--duration 10s")
	$(BINARY) demo $(ARGS)

##@ For developers
# A developer's machine may lack a shell; CI has all that a test wants. Whether a
# process may make a cgroup or a pseudo terminal is the machine's to say.
NOSKIP := $(if $(CI),-noskip -mayskip 'OfARealCgroup|FitsATerminal')

.PHONY: test
test: ## Run all tests that need nothing but Go
	go test -json ./... $(ARGS) | go run ./tests/cmd/testcount $(NOSKIP)

.PHONY: integration
integration: ## Run the tests against a real mosquitto, Apache Kafka, Prometheus and Chromium
	tests/servers/with.sh $(MAKE) --no-print-directory integration-tests

# Needs the servers; here nothing may be skipped, they are all there. Only the older
# program of an upgrade needs the history of the repository.
.PHONY: integration-tests
integration-tests: $(HELM)
	tests/servers/prometheus.sh install
	tests/servers/chromium.sh install
	HELM=$(abspath $(HELM)) go test -json -tags integration -count=1 -timeout 90m ./tests/integration/... ./tests/monitoring/... ./tests/console/... ./tests/kubernetes/... ./tests/upstream/... ./plugins/kafka/... $(ARGS) | go run ./tests/cmd/testcount -v -noskip -mayskip ARollingUpgradeAndBack

# The models hold no server and no clock: they find by the number of their seeds.
MODEL_FOR ?= 60s

.PHONY: model
model: ## Drive the pipeline, and workers, with random faults (MODEL_FOR=60s)
	go test -race -json -count=1 -timeout 3h ./tests/model/... -for $(MODEL_FOR) $(ARGS) | go run ./tests/cmd/testcount

.PHONY: attack
attack: ## Attack a service that runs, traced by strace, which is installed where missing
	tests/attack/with_strace.sh go test -json -tags integration -count=1 -timeout 15m ./tests/attack $(ARGS) | go run ./tests/cmd/testcount -noskip

# The tests of the table in README, with the full counts.
CRASHES := $(abspath tests/crashes/RESULTS.json)

.PHONY: crashes
crashes: ## Count what is lost, out of order or repeated when something fails, for README (40 minutes)
	SOAK=1 CRASHES=$(CRASHES) tests/servers/with.sh go test -json -tags integration -count=1 -timeout 90m -run 'LoseNothing|Repeat|WhileKafkaIsAway' ./tests/integration $(ARGS) | go run ./tests/cmd/testcount -v -noskip
	go test ./tests/crashes -update

.PHONY: soak
soak: ## The integration tests with the full counts (50 minutes), then an hour of the models
	SOAK=1 CRASHES=$(CRASHES) tests/servers/with.sh $(MAKE) --no-print-directory integration-tests
	go test ./tests/crashes -update
	for part in {1..12}; do $(MAKE) --no-print-directory model MODEL_FOR=5m; done

.PHONY: cleanroom
cleanroom: ## Run demo, test and what the Dockerfile says in a minimal Debian, which needs root and apt
	tests/cleanroom/cleanroom.sh

.PHONY: race
race: ## Run the tests of the components under the race detector
	go test -race -json ./plugins/... ./templates/... $(ARGS) | go run ./tests/cmd/testcount

# Targets of their own, so that `make -k check` shows all that is wrong.
.PHONY: check lint format vet tidy vulnerabilities
check: lint format vet tidy vulnerabilities ## Lint, check formatting, go vet, go mod tidy, known vulnerabilities

# A cache of this checkout alone: one that is shared with other checkouts reports what
# they contain, with paths of files that may be gone.
lint: export GOLANGCI_LINT_CACHE := $(CURDIR)/bin/cache/golangci-lint
lint: $(GOLANGCI)
	$(GOLANGCI) run ./...

format: $(GOFUMPT)
	@echo $(GOFUMPT) -l .
	@files=$$($(GOFUMPT) -l .); if [[ $$files ]]; then echo "not formatted by gofumpt:"; echo "$$files"; exit 1; fi

vet:
	go vet -tags integration ./...

tidy:
	go mod tidy -diff

# The database is on the network; a machine without it says so and goes on.
vulnerabilities: $(GOVULNCHECK)
	@echo $(GOVULNCHECK) ./...
	@code=0; out=$$($(GOVULNCHECK) ./... 2>&1) || code=$$?; \
	if grep -q 'fetching vulnerabilities' <<<"$$out"; then \
		echo "SKIPPED $$(tail -n 1 <<<"$$out")"; \
	else \
		echo "$$out"; exit $$code; \
	fi

.PHONY: bench bench-quick bench-codec bench-publish
bench: ## Measure against upstream's components and against the floor, with Apache Kafka
	tests/servers/with.sh go run ./tests/bench $(ARGS)

bench-quick: ## The same with fewer messages and rounds
	tests/servers/with.sh go run ./tests/bench -quick -out bin/bench.md $(ARGS)
	cat bin/bench.md

bench-publish: ## Measure the output mqtt against upstream's, without a broker
	go run ./tests/bench/publish $(ARGS)

bench-codec: ## Measure the envelope codec against encoding/json
	go test -run '^$$' -bench . -benchmem ./plugins/envelope $(ARGS)

.PHONY: docs
docs: ## Write the tables of README and resources/docs from the specs and the results
	go test ./cmd/robustmq-connect -run TestDocumentTables -update
	go test ./tests/crashes -update

.PHONY: kubernetes manifests
kubernetes: $(HELM) ## Lint the Helm chart, and decode what it makes into the types of Kubernetes
	HELM=$(abspath $(HELM)) go test -tags integration -count=1 ./tests/kubernetes $(ARGS)

manifests: $(HELM) ## Write resources/kubernetes from the Helm chart
	HELM=$(abspath $(HELM)) go test -tags integration -count=1 ./tests/kubernetes -run TestPlainManifestsAreThoseOfTheChart -update

.PHONY: clean
clean: ## Remove bin/
	rm -rf bin

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# install-tool PACKAGE@VERSION builds one pinned tool into the target's folder.
# GOFLAGS is emptied, because -mod=vendor or -mod=mod of a user would stop it.
define install-tool
	GOFLAGS= GOBIN=$(abspath $(@D)) go install $(1)
endef

$(GOLANGCI):
	$(call install-tool,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2)
$(GOFUMPT):
	$(call install-tool,mvdan.cc/gofumpt@v0.12.0)
$(GOVULNCHECK):
	$(call install-tool,golang.org/x/vuln/cmd/govulncheck@v1.9.0)
$(HELM):
	$(call install-tool,helm.sh/helm/v3/cmd/helm@v3.22.0)

# make test runs everything and installs what it lacks; go test ./... alone needs nothing but Go.

GO ?= go
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: test quick unit lab race browser lint-deploy soak bench microbench bench-deps docs deps build

# Quick checks first. Each step says how long it took.
test: deps quick unit lab race browser lint-deploy
	@echo "make test: all green; each step above says how long it took"

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/meridian ./cmd/meridian

deps:
	@.ci/deps

quick:
	@.ci/step "gofmt" .ci/gofmt
	@.ci/step "go vet" $(GO) vet ./...
	@.ci/step "staticcheck" $(GO) tool staticcheck ./...
	@.ci/step "go vet for a system without our system calls" env GOOS=darwin CGO_ENABLED=0 $(GO) vet ./dns/... ./cmd/meridian/...

# Without the race detector: allocations are counted, mutants are caught, the real binary is started.
unit:
	@.ci/step "tests" .ci/gotest -timeout 25m $$($(GO) list ./... | grep -v '/cmd/internal/lab$$')

# By itself: it measures times, and takes most of two processors. Never from the cache, which does not know the program that it builds.
lab:
	@.ci/step "the lab" .ci/gotest -count=1 -timeout 15m ./cmd/internal/lab

race:
	@.ci/step "tests with the race detector, short" .ci/gotest -race -short -timeout 20m ./...

browser:
	@.ci/step "dashboard in a browser" .ci/browser/run

lint-deploy:
	@.ci/step "deploy files" .ci/lint-deploy

# Long counts: many seeds of the simulator, every fuzz target for a while. Not part of make test.
soak:
	@.ci/soak

# The cost of an answer beside that of other nameservers, which make bench-deps installs; ROUNDS, LOADS and BENCHFLAGS
# choose (bin/bench -h). It takes half an hour.
ROUNDS ?= 5
bench: build
	$(GO) build -o bin/bench ./cmd/internal/bench
	@bin/bench -meridian bin/meridian -rounds $(ROUNDS) $(if $(LOADS),-loads "$(LOADS)") $(BENCHFLAGS)

bench-deps:
	@.ci/bench-deps

# The cost of single functions.
microbench:
	$(GO) test -run '^$$' -bench . -benchmem ./dns/wire ./zones ./geo ./health

docs:
	@for part in world node api cli import; do $(GO) run ./cmd/meridian docs $$part > docs/$$part.md; done
	@for file in world node; do $(GO) run ./cmd/meridian docs schema $$file > deploy/schema/$$file.schema.json; done
	@$(GO) test ./cmd/meridian/host -run TestMetricsDocument -update >/dev/null

# The commands of this project. `make` alone prints them.
# CGO_ENABLED=0: nothing of nuka is C; -trimpath keeps the paths of this machine out of the programs.
export CGO_ENABLED := 0
GOFLAGS := -trimpath -buildvcs=false
export GOFLAGS

# Where `make run` keeps its packages, so that a second run finds them; NUKA_HOME=... puts them elsewhere.
RUN_HOME ?= $(CURDIR)/.cache/home
# How long each fuzz target runs.
FUZZTIME ?= 30s
# The linter is a program of its own with its own modules, so it is not in go.mod.
LINTER := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.5.0

.PHONY: help build run test test-long lint fuzz bench local swarm engine clean
help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## bin/nuka and bin/nukad
	go build -o bin/ ./cmd/nuka ./cmd/nukad

run: build ## build Lua from source with clang in WebAssembly and run a script with it
	@./tools/run.sh

test: ## every test that is quick; under 10 minutes on 2 cores from a cold cache
	go vet ./...
	go test ./...

test-long: build ## the rest: real packages out of the registries, more seeds, larger inputs (-count=1: their cause is outside)
	NUKA_LONG=1 go test -count=1 -timeout 80m ./...

lint: ## golangci-lint, at the version pinned above
	GOFLAGS= go run $(LINTER) run ./...

fuzz: ## every fuzz target for FUZZTIME each
	@go list ./... | while read -r pkg; do \
	  dir=$$(go list -f '{{.Dir}}' $$pkg); \
	  grep -ho 'func Fuzz[A-Za-z0-9]*' $$dir/*_test.go 2>/dev/null | cut -c6- | sort -u | while read -r target; do \
	    echo "$$pkg $$target"; go test $$pkg -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) || exit 1; \
	  done || exit 1; \
	done

bench: build ## benchmarks against the real peers: make bench local, make bench swarm
	@./tools/bench.sh $(filter-out bench,$(MAKECMDGOALS))

local swarm: ;@: # the arguments of bench

engine: ## nu/engine.wasm.zst, the embedded Nushell, from nu/engine (installs its toolchain with apt)
	bash nu/engine/build.sh

clean: ## remove what the other targets made
	rm -rf bin .cache

# The commands of this project. `make` alone prints them.
# CGO_ENABLED=0: nothing of nuka is C; -trimpath keeps the paths of this machine out of the programs.
export CGO_ENABLED := 0
GOFLAGS := -trimpath -buildvcs=false
export GOFLAGS
# The release of Go that the programs are built with: its standard library is part of them. The go command fetches it as a module.
GOTOOLCHAIN := go1.26.11
export GOTOOLCHAIN

# Where `make run` keeps its packages: RUN_HOME=DIR, else where nuka keeps them, so that the commands after it find them.
RUN_HOME ?= $(NUKA_HOME)
# How long each fuzz target runs.
FUZZTIME ?= 30s
# Packages that are tested with the race detector: all but those whose tests are whole builds and whole networks, and the mount: there the kernel
# passes requests between a test and the mount, and the detector does not see that one comes after the other.
RACE := $$(go list ./... | grep -vE '/(cmd|testnet|tools|nu)(/|$$)|/fsmount$$')
# The linter is a program of its own with its own modules, so it is not in go.mod.
LINTER := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.5.0

.PHONY: help build run test test-long test-packages race audit audit-update lint fuzz bench local swarm real mount store exec ecosystem posix services engine picture install release clean
help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## bin/nuka, bin/nukad and bin/nuka-sandbox
	go build -o bin/ ./cmd/nuka ./cmd/nukad
	go build -ldflags='-s -w' -o bin/ ./cmd/nuka-sandbox # without symbols: each sandbox reads this program

run: build ## build Lua from source with clang in WebAssembly and run a script with it
	@NUKA_HOME='$(RUN_HOME)' ./tools/run.sh

test: ## every test that is quick; under 10 minutes on 2 cores from a cold cache
	go vet ./...
	go test -shuffle=on -timeout 25m ./...

race: ## the tests with the race detector; it needs a C compiler, which it installs with apt where there is none
	@command -v cc >/dev/null || { apt-get update -q && apt-get install -qy gcc libc6-dev; }
	CGO_ENABLED=1 go test -race -short -shuffle=on -timeout 20m $(RACE)

# `make bench audit` has two goals, and means the benchmark.
ifeq ($(filter bench,$(MAKECMDGOALS)),)
audit: build ## what is linked into the programs: against the list in tools/audit, and against known vulnerabilities
	go run ./tools/audit bin/nuka bin/nukad bin/nuka-sandbox
else
audit: ;@:
endif

audit-update: build ## write that list anew
	go run ./tools/audit -update bin/nuka bin/nukad bin/nuka-sandbox

test-long: build ## the rest: real packages out of the registries, more seeds, larger inputs (-count=1: their cause is outside)
	NUKA_LONG=1 go test -count=1 -timeout 80m ./...

test-packages: build ## build and run all packages of C, or PACKAGES=a,b, and write docs/c-packages.md: hours; NUKA_PACKAGES_HOME=DIR keeps what is built
	NUKA_PACKAGES_ALL=1 go test ./cmd/nuka -run 'TestPackages$$' -count=1 -timeout 20h -docs -packages='$(PACKAGES)'

lint: ## golangci-lint, at the version pinned above
	GOFLAGS= go run $(LINTER) run ./...

# -fuzzminimizetime 1x: an input of an archive is seldom shortened, and the tries would take the time that new inputs get.
fuzz: ## every fuzz target for FUZZTIME each
	@go list ./... | while read -r pkg; do \
	  dir=$$(go list -f '{{.Dir}}' $$pkg); \
	  grep -ho 'func Fuzz[A-Za-z0-9]*' $$dir/*_test.go 2>/dev/null | cut -c6- | sort -u | while read -r target; do \
	    echo "$$pkg $$target"; go test $$pkg -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x || exit 1; \
	  done || exit 1; \
	done

bench: build ## benchmarks against the real peers: make bench local, make bench swarm, make bench real, make bench mount, make bench store, make bench exec, make bench ecosystem, make bench audit, make bench posix, make bench services
	@./tools/bench.sh $(filter-out bench,$(MAKECMDGOALS))

local swarm real mount store exec ecosystem posix services: ;@: # the arguments of bench

picture: build ## docs/picture.svg, from a real run in a fresh home
	go run ./tools/picture docs/picture.svg

engine: ## nu/engine.wasm.zst, the embedded Nushell, from nu/engine (installs its toolchain with apt)
	bash nu/engine/build.sh

# Where `make install` installs: below DESTDIR, as packagers want it, in PREFIX.
PREFIX ?= /usr/local
install: build ## install the programs, their documentation and service files in PREFIX (/usr/local)
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/doc/nuka/docs' '$(DESTDIR)$(PREFIX)/share/nuka/service'
	install bin/nuka bin/nukad bin/nuka-sandbox '$(DESTDIR)$(PREFIX)/bin'
	install -m 644 README.md ARCHITECTURE.md RATIONALE.md '$(DESTDIR)$(PREFIX)/share/doc/nuka'
	install -m 644 docs/* '$(DESTDIR)$(PREFIX)/share/doc/nuka/docs'
	install -m 644 tools/service/* '$(DESTDIR)$(PREFIX)/share/nuka/service'

release: ## dist: an archive for this system, its modules (SBOM) and checksums; builds twice and compares
	go run ./tools/release -twice $(if $(FOR),-for $(FOR))

clean: ## remove what the other targets made
	rm -rf bin dist .cache

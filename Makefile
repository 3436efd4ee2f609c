# Names for what is done often; the work is in scripts/. `make` alone prints them.
.DEFAULT_GOAL := help
.PHONY: help build gen fmt test quick lint fuzz bench loc

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the one binary, in bin/
	go build -o bin/ ./cmd/...

gen: ## Go from proto/*.proto
	scripts/gen

fmt: ## gofmt every file
	gofmt -w .

test: ## everything that must hold before a push (minutes)
	scripts/test

quick: ## what should hold before a commit (seconds, once caches are warm)
	scripts/test --quick

lint: ## Go, shell and proto (the first run builds the linter)
	scripts/lint

fuzz: ## every fuzz target for a minute
	scripts/fuzz

bench: ## one point of speed beside NATS, gRPC and a bare relay (a minute)
	scripts/bench --quick

loc: ## lines per package
	scripts/loc

# `make run` and `make test` need nothing but Rust; they install the rest.

.DEFAULT_GOAL := help
.PHONY: help run test bench web prepare

help: ## list these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1|\2/' | awk -F'|' '{ printf "%-14s%s\n", $$1, $$2 }'

run: ## serve demo data on 127.0.0.1:4000 in development mode (optimized, quick to build); installs what is missing
	@.ci/setup
	@.ci/web --if-possible
	SWITCHBOARD_DEV=true cargo run --profile local --bin switchboard -- serve

test: ## run all tests: Rust, then the Node clients; installs what is missing
	@.ci/setup --node
	@.ci/web --if-possible
	cargo test
	@.ci/test-clients

web: ## build GraphiQL, to be embedded by the next build of the server; needs Node
	@.ci/web

bench: ## measure beside limits and peers (release build; about 30 minutes; ARGS="--rounds 1 --seconds 1 --warm 1": 3)
	@.ci/setup --node
	@ulimit -n 20000 2>/dev/null || ulimit -n $$(ulimit -Hn); cargo bench --bench load -- $(ARGS)

prepare: ## regenerate .sqlx/, the descriptions of the SQL queries, after a change of a query or a migration
	@.ci/setup
	.ci/prepare

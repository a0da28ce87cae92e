# The commands a contributor needs. `make verify` only reads; `make fix` mends what a tool can mend.
CARGO ?= cargo

.PHONY: both-releases build release verify arrows doc fix test demo compat compat-programs bench table roll-compare deny ci full clean-compat beside-redis check-deploy differential redis-suite mutations turmoil turmoil-build loss-window dead-primaries kill-matrix endurance speed-ab sim model train train-released fuzz fuzz-parsers fuzz-ports

build:
	$(CARGO) build --workspace --all-targets

release:
	$(CARGO) build --release

verify: ## every commit passes this
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(MAKE) arrows
	$(MAKE) doc
	$(CARGO) test --workspace

arrows: ## crate dependencies, what pure crates, formats and live types name, patches, examples, what was released, the diagram
	$(CARGO) run -q -p xtask -- arrows
	$(CARGO) run -q -p xtask -- diagram --check
	$(CARGO) run -q -p xtask -- released

doc: ## what rustdoc warns of is an error: a link in the documentation that leads nowhere
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

fix:
	$(CARGO) fmt --all
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) run -q -p xtask -- diagram --write

test:
	$(CARGO) test --workspace

# Of the whole workspace, though one package is wanted: so that what others made has the features that it has for
# `cargo test --workspace`, and is not compiled again. A test builds the binaries of its package, and `readme` is a small one.
TRAINS = $(CARGO) test --workspace --features ironcache-tests/trains --test trains -- --test-threads=1
# The crates that the feature `next` changes by themselves.
NEXT_CRATES = types control formats raft keyspace command replication sim
train: ## two versions: simulated, and real processes that roll from this release to the one that the feature `next` invents, and from the newest release that was cut to this one, back, and on: docs/train.md
	$(CARGO) test $(NEXT_CRATES:%=-p ironcache-%) --features "$(NEXT_CRATES:%=ironcache-%/next)"
	$(CARGO) test --no-run --workspace --features ironcache-tests/next --test readme
	$(TRAINS) --skip released::
	@released=$$($(PREVIOUS) --if-any) || exit 1; test -z "$$released" || $(ROLL_RELEASED)

# The newest release of releases.toml, built from its commit (a worktree below target/released, once), rolls to this source.
PREVIOUS = $(CARGO) run -q -p xtask -- previous
ROLL_RELEASED = IRONCACHE_RELEASED="$$released" $(TRAINS) released::
train-released: ## the second half of `make train` alone: an error where nothing was released
	released=$$($(PREVIOUS)) && $(ROLL_RELEASED)

demo: ## a cluster of real processes rolls itself to a new release under load
	$(CARGO) run --release -- demo

compat: ## real clients against a playground: redis-cli, redis-benchmark, redis-py, ioredis; and real programs over a roll
	$(CARGO) build --release
	tests/compat/install
	tests/compat/run target/release/ironcache
	tests/compat/run --tls target/release/ironcache
	tests/compat/programs/run target/release/ironcache

compat-programs: ## the last of them alone: BullMQ, redlock, express-session, node-redis, valkey-glide, a reader of INFO, RQ
	$(CARGO) build --release
	tests/compat/install
	tests/compat/programs/run target/release/ironcache $(if $(ONLY),--only $(ONLY))

# The tests that ask for redis-server, and that the toolchain alone cannot run.
beside-redis: ## commands without a node, and a node, beside redis-server: some ten thousand of each
	$(CARGO) test --workspace --test differential --test processes beside_redis -- --ignored
redis-suite: release ## Redis' own tests on a node, beside redis-server: `make redis-suite SUITE=../redis-7.0.15 [UNITS="unit/type/list"]`
	tests/compat/redis_suite.py target/release/ironcache --suite "$(SUITE)" --peer $(UNITS)
differential: ## random commands on a node and on redis-server, compared: `make differential COUNT=1000000 SEED=1 NAMES="zadd zrange"`
	$(CARGO) build --release -p ironcache -p ironcache-differential
	tests/compat/differential target/release/ironcache --commands $(or $(COUNT),100000) --seed $(or $(SEED),1) $(NAMES)

loss-window: ## kills primaries under load and counts what was acknowledged and is gone
	$(CARGO) build --release
	tests/compat/loss_window.py target/release/ironcache --kills 10 --batch 50
	tests/compat/loss_window.py target/release/ironcache --kills 10 --batch 1
	tests/compat/loss_window.py target/release/ironcache --kills 6 --batch 50 --mode in-sync

dead-primaries: ## primaries that are killed, hang, are cut off, or whose machine is gone: how long, and at what cost, beside redis-server (root: network namespaces)
	$(CARGO) build --release
	tests/compat/dead_primaries.py target/release/ironcache --runs $(or $(RUNS),20)
	tests/compat/dead_primaries.py target/release/ironcache --runs $(or $(RUNS),20) --mode primary
	tests/compat/dead_primaries.py target/release/ironcache --runs $(or $(RUNS),20) --timers 100/500/1000
	tests/compat/dead_primaries.py target/release/ironcache --runs $(or $(RUNS),20) --peer redis --node-timeout 1000
	tests/compat/dead_primaries.py target/release/ironcache --runs $(or $(RUNS),20) --peer redis
	tests/compat/dead_primaries.py target/release/ironcache --runs $(or $(RUNS),20) --faults replica
	tests/compat/dead_primaries.py target/release/ironcache --runs $(or $(RUNS),20) --faults replica --busy 2 --write

# This release and the one after it (docs/train.md), as they would be released.
both-releases:
	$(CARGO) build --release -p ironcache
	$(CARGO) build --release -p ironcache-tests --features next --bin ironcache-next

kill-matrix: both-releases ## each part is killed at each step of a roll: docs/kill-matrix.md; `make kill-matrix ONLY=machine,leader` (root)
	tests/compat/kill_matrix.py target/release/ironcache --next target/release/ironcache-next --write $(if $(ONLY),--only $(ONLY))
	tests/compat/kill_matrix.py target/release/ironcache --next target/release/ironcache-next --write --way back $(if $(ONLY),--only $(ONLY))
	tests/compat/kill_matrix.py target/release/ironcache --next target/release/ironcache-next --write --way failed --faults process $(if $(ONLY),--only $(ONLY))

MINUTES ?= 30
# Everybody who has a parser has tests `fuzz_*` of it; crates/fuzz/parsers.md is the list, and a test of that crate keeps it.
FUZZED = $(shell grep -rlE '^ *fn fuzz_' crates --include='*.rs' | cut -d/ -f1,2 | sort -u | xargs -I@ grep -hoE -m1 '^name = .*' @/Cargo.toml | cut -d'"' -f2)
FUZZ_TARGETS = $(shell grep -rhE '^ *fn fuzz_' crates --include='*.rs' | wc -l)
fuzz: fuzz-parsers fuzz-ports ## a node's ports for MINUTES each, all at once, and before that all parsers together for as long: `make fuzz MINUTES=30`
fuzz-parsers:
	FUZZ_SECONDS=$$((60 * $(MINUTES) / $(FUZZ_TARGETS) + 1)) $(CARGO) test $(FUZZED:%=-p %) --lib --bins --test fuzz --test it --no-fail-fast fuzz_ -- --test-threads=1 --nocapture
fuzz-ports: release
	tests/compat/fuzz_ports.py target/release/ironcache --seconds $$((60 * $(MINUTES))) $(if $(SEED),--seed $(SEED))

endurance: both-releases ## random faults while a cluster rolls forth and back: `make endurance MINUTES=30` (root)
	tests/compat/endurance.py target/release/ironcache --next target/release/ironcache-next --minutes $(MINUTES)

bench: ## single functions, while optimising
	$(CARGO) bench -p ironcache-benches

table: ## docs/benchmarks.md, beside redis-server; `make table ONLY=throughput` for one section
	$(CARGO) build --release
	$(CARGO) run --release -p ironcache-benches --bin table -- $(if $(ONLY),--only $(ONLY))

roll-compare: ## the rolls of two binaries in turns: `make roll-compare OLD=path NEW=path [RUNS=10]`
	@test -n "$(OLD)" -a -n "$(NEW)" || { echo "usage: make roll-compare OLD=path NEW=path [RUNS=10]" >&2; exit 2; }
	$(CARGO) run --release -p ironcache-benches --bin roll-compare -- --old "$(OLD)" --new "$(NEW)" $(if $(RUNS),--runs $(RUNS))

speed-ab: ## throughput, p99 and rolls of two binaries in turns: `make speed-ab OLD=path NEW=path [RUNS=5]`
	@test -n "$(OLD)" -a -n "$(NEW)" || { echo "usage: make speed-ab OLD=path NEW=path [RUNS=5]" >&2; exit 2; }
	tests/compat/speed_ab.py "$(OLD)" "$(NEW)" $(if $(RUNS),--runs $(RUNS))

mutations: ## what guards safety is taken away, one guard at a time: a test has to fail
	$(CARGO) run -q -p xtask -- mutations

SEEDS ?= 20000
sim: ## simulated clusters in trouble, one a seed: `make sim SEEDS=100000 [FROM=0]`
	IRONCACHE_SIM_SEEDS=$(SEEDS) IRONCACHE_SIM_FROM=$(or $(FROM),0) $(CARGO) test --profile sim -p ironcache-sim --test seeds every_seed -- --nocapture

# Another build: its own world, and its own folder, so that no other build is made anew.
# Optimised a little, since minutes of simulated time pass; without debug information, which costs a third of the build and
# says nothing that a trace does not.
TURMOIL_CARGO = CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0 RUSTFLAGS="--cfg tokio_unstable --cfg turmoil" $(CARGO)
TURMOIL_BUILD = --target-dir target/turmoil -p ironcache-turmoil
TURMOIL = $(TURMOIL_CARGO) run -q $(TURMOIL_BUILD) --
turmoil: ## real nodes over simulated networks, disks and clocks, one process a seed, repeatable: `make turmoil SEEDS=500`
	$(TURMOIL) raft --seeds $(SEEDS)
	$(TURMOIL) node --seeds $(SEEDS)
	$(TURMOIL) roll --seeds $(SEEDS)
turmoil: SEEDS = 50
turmoil-build: ## what `make turmoil` runs
	$(TURMOIL_CARGO) build -q $(TURMOIL_BUILD)

model: ## every order of events of small clusters: the large models of crates/model
	$(CARGO) test --release -p ironcache-model -- --include-ignored --nocapture

DENY ?= $(CARGO) deny
# `advisories` asks GitHub for its database, and is left out where that cannot be reached.
DENY_CHECKS ?= advisories bans licenses sources
deny: ## advisories, bans, licences and sources; `make deny DENY_CHECKS="bans licenses sources"` works offline
	@$(DENY) --version >/dev/null 2>&1 || { echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; }
	$(DENY) --log-level error check $(DENY_CHECKS)

DEPLOY_TOOLS = target/deploy-tools
check-deploy: ## the files in deploy/, by the schemas of Kubernetes, and by systemd-analyze where there is one
	python3 -m venv $(DEPLOY_TOOLS)
	$(DEPLOY_TOOLS)/bin/pip install --quiet --disable-pip-version-check --requirement deploy/requirements.txt
	$(DEPLOY_TOOLS)/bin/python deploy/check.py

ci: ## what CI runs, on a clean clone
	.ci/run

full: ## what CI has no time for, some hours of it: every mutation, 100,000 simulated clusters, 500 seeds of turmoil, the large models, half an hour of fuzzing each, the kill matrix, endurance, dead primaries (root)
	$(MAKE) mutations
	$(MAKE) sim SEEDS=100000
	$(MAKE) turmoil SEEDS=500
	$(MAKE) model
	$(MAKE) fuzz MINUTES=30
	$(MAKE) kill-matrix
	$(MAKE) endurance MINUTES=30
	$(MAKE) dead-primaries loss-window

clean-compat:
	rm -rf .compat

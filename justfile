# Commands for people who work on the code. `just` is on PyPI as rust-just, and in most package managers.
# CI runs scripts/test.sh, which does more: it builds with optimisation and runs the programs.

export CARGO_TERM_COLOR := env("CARGO_TERM_COLOR", "auto")

# unoptimised own crates, lightly optimised dependencies; see Cargo.toml
profile := "loop"

# List the commands.
default:
    @just --list

# Check formatting, lints and unit tests of all crates.
check:
    cargo fmt --all --check
    cargo clippy --profile {{ profile }} --workspace --all-targets --quiet -- -D warnings
    cargo test --profile {{ profile }} --workspace --lib --bins --quiet

# Run the unit tests of one crate; what follows its name goes to its tests, such as a part of a test's name.
test CRATE *ARGS:
    #!/usr/bin/env bash
    set -euo pipefail
    # all crates are built: with `--package`, cargo would compile dependencies again with the features that one crate needs
    built=$(cargo test --profile {{ profile }} --workspace --lib --bins --no-run --message-format json)
    mapfile -t tests < <(python3 scripts/unit_tests.py {{ CRATE }} <<<"$built")
    [ ${#tests[@]} -gt 0 ] || { echo "error: there is no crate {{ CRATE }} with unit tests: see crates/" >&2; exit 2; }
    cd crates/{{ CRATE }}
    export CARGO_MANIFEST_DIR=$PWD
    for test in "${tests[@]}"; do "$test" {{ ARGS }}; done

# Measure speed and memory of the programs; the options are those of scripts/bench.py.
bench *ARGS:
    scripts/bench.sh {{ ARGS }}

# Measure the kernels: histograms, splits, traversal of trees, rows of text. What follows is a part of a benchmark's name.
kernels *ARGS:
    cargo bench --workspace --bench kernels --bench records --bench rows -- {{ ARGS }}

# Look for inputs that break a reader, without an end. NAME is a file of fuzz/fuzz_targets; needs nightly Rust and cargo-fuzz.
fuzz NAME *ARGS:
    cargo +nightly fuzz run {{ NAME }} {{ ARGS }}

# Build the documentation of the code without a warning, then the book, and check links.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --profile {{ profile }} --workspace --no-deps --document-private-items
    scripts/book.sh

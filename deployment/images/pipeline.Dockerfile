# syntax=docker/dockerfile:1
# The stages, and the server that `package` asks, as static programs in an empty image: for jobs on a cluster. There is no shell in it; a
# job names a program and its flags.
#
#   docker build -f deployment/images/pipeline.Dockerfile -t house-price-predictor/pipeline:dev .
#   docker run --rm -v "$PWD:/work" --user "$(id -u)" house-price-predictor/pipeline:dev process --input data/raw/house_data.csv ...

FROM docker.io/library/rust:1.95.0-bookworm AS chef
RUN cargo install cargo-chef --version 0.1.78 --locked
WORKDIR /build

FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
ENV RUSTFLAGS="-C target-feature=+crt-static"
COPY --from=plan /build/recipe.json .
RUN cargo chef cook --locked --release --workspace --target "$(rustc --print host-tuple)" --recipe-path recipe.json
COPY . .
RUN cargo build --locked --release --workspace --bins --target "$(rustc --print host-tuple)" \
    && mkdir -p /image/bin /image/tmp /image/work \
    && for program in process engineer train package serve; do \
         strip -o "/image/bin/$program" "target/$(rustc --print host-tuple)/release/$program"; \
       done \
    && chmod 1777 /image/tmp \
    && chown 65532:65532 /image/work

FROM scratch
COPY --from=build /image/ /
# a new volume takes the owner of the folder that it covers
COPY --from=build --chown=65532:65532 /image/work /work
ENV PATH=/bin
WORKDIR /work
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK NONE
CMD ["process", "--help"]

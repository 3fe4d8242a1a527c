# syntax=docker/dockerfile:1
# `serve` alone: one static program in an empty image, which runs read-only, as nobody, without a shell. The model is mounted at /model, or
# named with --model. `package image` makes the same with the model inside, and needs no Docker.
#
#   docker build -f deployment/images/serve.Dockerfile -t house-price-predictor/serve:dev .

FROM docker.io/library/rust:1.95.0-bookworm AS chef
RUN cargo install cargo-chef --version 0.1.78 --locked
WORKDIR /build

FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
# what `cargo build` is asked for must be asked of `cook`, too, or the dependencies are built twice
ENV RUSTFLAGS="-C target-feature=+crt-static"
COPY --from=plan /build/recipe.json .
RUN cargo chef cook --locked --profile dist --package serve --target "$(rustc --print host-tuple)" --recipe-path recipe.json
COPY . .
RUN cargo build --locked --profile dist --package serve --target "$(rustc --print host-tuple)" \
    && mkdir -p /image/tmp \
    && cp "target/$(rustc --print host-tuple)/dist/serve" /image/serve \
    && chmod 1777 /image/tmp

FROM scratch
COPY --from=build /image/ /
USER 65532:65532
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/serve", "healthcheck"]
ENTRYPOINT ["/serve"]
CMD ["--model", "/model", "--listen", "0.0.0.0:8000", "--metrics-listen", "0.0.0.0:8001"]

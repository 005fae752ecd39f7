# One build, two images:
#   docker build --target api --tag gatepost .
#   docker build --target migration --tag gatepost-migrate .

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
# rust-toolchain.toml stays behind: it would make rustup fetch rustfmt and clippy, which nothing here runs.
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package gatepost --package migration \
    && mkdir /out \
    && cp target/release/gatepost target/release/gatepost-migrate /out/

# No shell, no package manager; runs as user 65532.
FROM gcr.io/distroless/cc-debian12:nonroot AS migration
COPY --from=build /out/gatepost-migrate /usr/local/bin/gatepost-migrate
ENTRYPOINT ["/usr/local/bin/gatepost-migrate"]
CMD ["up"]

FROM gcr.io/distroless/cc-debian12:nonroot AS api
COPY --from=build /out/gatepost /usr/local/bin/gatepost
ENV ENVIRONMENT=production APP_HOST=0.0.0.0
EXPOSE 8004 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/usr/local/bin/gatepost", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/gatepost"]
CMD ["serve"]

# syntax=docker/dockerfile:1
# The image of Stoa: one program on Debian, without PostgreSQL. It needs DATABASE_URL (see compose.yaml).

# GraphiQL, embedded in the program.
FROM node:22-bookworm-slim AS web
WORKDIR /web
COPY web/package.json web/package-lock.json ./
RUN --mount=type=cache,target=/npm npm ci --cache /npm --no-audit --no-fund
COPY web .
RUN npm run build

FROM rust:1.95-slim-bookworm AS build
WORKDIR /stoa
COPY . .
COPY --from=web /web/dist web/dist
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/stoa/target \
    cargo build --release --locked --bin stoa && cp target/release/stoa /usr/local/bin/stoa

FROM debian:bookworm-slim
# Certificates, for a database that is reached over TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/stoa --create-home stoa
COPY --from=build /usr/local/bin/stoa /usr/local/bin/stoa
COPY config.default.toml LICENSE /usr/share/doc/stoa/
USER stoa
WORKDIR /var/lib/stoa
ENV STOA_LISTEN=0.0.0.0:4000 \
    STOA_DATA_DIR=/var/lib/stoa
VOLUME /var/lib/stoa
EXPOSE 4000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["stoa", "doctor", "--live"]
ENTRYPOINT ["stoa"]
CMD ["serve"]

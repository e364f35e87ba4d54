# The image of lifeboat. docs/image.md tells how to build it and what each argument means.
#
#   lifeboat   the program and the databases' client tools
#   drill      the same with database servers, for drills into `ephemeral` staging
#   neo4j      the first with Neo4j, Java and kubectl: dumps of a store, and drills of Neo4j
#
# Pin the bases by digest for a build that can be repeated: rust:1-bookworm@sha256:…
ARG RUST_IMAGE=docker.io/library/rust:1-bookworm
ARG GO_IMAGE=docker.io/library/golang:1.25-bookworm
ARG DEBIAN_IMAGE=docker.io/library/debian:bookworm-slim
ARG MONGOD_IMAGE=docker.io/library/mongo:7.0
ARG NEO4J_IMAGE=docker.io/library/neo4j:5.26-community
ARG KUBECTL_IMAGE=registry.k8s.io/kubectl:v1.34.4

# ------------------------------------------------------------------------ build
FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS build
ARG TARGETARCH
WORKDIR /src
ENV CARGO_PROFILE_RELEASE_STRIP=symbols \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc
# The compiler of the other architecture, when that is the one to build for.
# hadolint ignore=SC2086
RUN set -eu; \
    here=$(dpkg --print-architecture); \
    case ${TARGETARCH:-$here} in \
      amd64) triple=x86_64-unknown-linux-gnu packages="gcc-x86-64-linux-gnu libc6-dev-amd64-cross" ;; \
      arm64) triple=aarch64-unknown-linux-gnu packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;; \
      *) echo "no build for ${TARGETARCH}" >&2; exit 1 ;; \
    esac; \
    echo "$triple" >/triple; \
    if [ "${TARGETARCH:-$here}" != "$here" ]; then \
      apt-get update; \
      apt-get install -y --no-install-recommends $packages; \
      rm -rf /var/lib/apt/lists/*; \
      rustup target add "$triple"; \
    fi
# The dependencies first: they stay in the cache while only our own sources change.
COPY Cargo.toml Cargo.lock ./
RUN set -eu; \
    mkdir src benches; \
    touch src/lib.rs benches/archive.rs benches/retention.rs; \
    echo 'fn main() {}' >src/main.rs; \
    cargo build --release --locked --bin lifeboat --target "$(cat /triple)"
COPY src src
# A newer time, or cargo takes the empty sources for these.
RUN set -eu; \
    touch src/lib.rs src/main.rs; \
    cargo build --release --locked --bin lifeboat --target "$(cat /triple)"; \
    install -D "target/$(cat /triple)/release/lifeboat" /out/lifeboat

# ------------------------------------------------------------------ mongo-tools
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS mongo-tools
ARG TARGETARCH
# The version that the tests run against; go.sum has the hash of every module.
ARG MONGOTOOLS=100.12.2
ARG MONGOTOOLS_COMMIT=887641268977
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-mod=readonly -trimpath -buildvcs=false"
WORKDIR /src
COPY scripts/mongo-tools/go.mod scripts/mongo-tools/go.sum ./
RUN set -eu; \
    for program in mongodump mongorestore; do \
      GOARCH="${TARGETARCH:-$(go env GOARCH)}" go build -o "/out/$program" \
        -ldflags "-s -w -X main.VersionStr=$MONGOTOOLS -X main.GitCommit=$MONGOTOOLS_COMMIT" \
        "github.com/mongodb/mongo-tools/$program/main"; \
    done

# --------------------------------------------------------------------- postgres
FROM ${DEBIAN_IMAGE} AS postgres
# pgdg: the PostgreSQL project's archive, which has all majors; debian: Debian's own, which has 15.
ARG PG_ARCHIVE=pgdg
ARG PG_MAJORS="14 15 16 17 18"
# The key comes in a package that Debian has signed, and is compared with this.
ARG PGDG_FINGERPRINT=B97B0AFCAA1A47F044F244A07FCC7D46ACCC4CF8
# /archive: the files of apt that name the archive.
RUN set -eu; \
    mkdir -p /archive/etc/apt/keyrings /archive/etc/apt/sources.list.d; \
    apt-get update; \
    apt-get install -y --no-install-recommends ca-certificates; \
    if [ "$PG_ARCHIVE" = pgdg ]; then \
      apt-get install -y --no-install-recommends gpg postgresql-common; \
      key=/usr/share/postgresql-common/pgdg/apt.postgresql.org.gpg; \
      gpg --batch --show-keys --with-colons "$key" >/tmp/key; \
      if [ "$(grep -c '^pub:' /tmp/key)" != 1 ] || ! grep -q "^fpr:::::::::$PGDG_FINGERPRINT:" /tmp/key; then \
        echo "the key of apt.postgresql.org is not $PGDG_FINGERPRINT" >&2; exit 1; \
      fi; \
      cp "$key" /archive/etc/apt/keyrings/pgdg.gpg; \
      echo "deb [signed-by=/etc/apt/keyrings/pgdg.gpg] https://apt.postgresql.org/pub/repos/apt bookworm-pgdg main" \
        >/archive/etc/apt/sources.list.d/pgdg.list; \
      cp -r /archive/etc /; \
      apt-get update; \
    fi
# Of each major the programs that lifeboat runs, without the packages' Perl scripts; and libpq as a package.
WORKDIR /debs
RUN set -eu; \
    for major in $PG_MAJORS; do \
      apt-get download "postgresql-client-$major"; \
      dpkg-deb -x "postgresql-client-${major}_"*.deb /x; \
      for program in pg_dump pg_dumpall pg_restore pg_amcheck; do \
        install -D -t "/out/usr/lib/postgresql/$major/bin" "/x/usr/lib/postgresql/$major/bin/$program"; \
      done; \
      install -D -m 644 -t "/out/usr/share/doc/postgresql-client-$major" "/x/usr/share/doc/postgresql-client-$major/copyright"; \
    done; \
    rm -rf /x /debs/*; \
    apt-get download libpq5; \
    chmod 644 /debs/*

# --------------------------------------------------------------------- lifeboat
FROM ${DEBIAN_IMAGE} AS lifeboat
# initdb wants an entry for the user; nothing is ever written at home. The certificates are one file, which
# OpenSSL (libpq's sslrootcert=system) looks for under another name.
RUN --mount=type=bind,from=postgres,source=/debs,target=/debs \
    set -eu; \
    echo 'lifeboat:x:65532:' >>/etc/group; \
    echo 'lifeboat:x:65532:65532:lifeboat:/nonexistent:/usr/sbin/nologin' >>/etc/passwd; \
    apt-get update; \
    apt-get install -y --no-install-recommends /debs/*.deb; \
    mkdir -p /usr/lib/ssl; \
    ln -s /etc/ssl/certs/ca-certificates.crt /usr/lib/ssl/cert.pem; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/*
COPY --from=postgres /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=postgres /out/ /
COPY --from=mongo-tools /out/mongodump /out/mongorestore /usr/local/bin/
COPY --from=build /out/lifeboat /usr/local/bin/
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
ARG SOURCE=
LABEL org.opencontainers.image.title="lifeboat" \
      org.opencontainers.image.description="Backups that are proven: PostgreSQL, MongoDB and Neo4j to S3 and back, with restore drills" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.source="$SOURCE"
USER 65532:65532
WORKDIR /
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/lifeboat"]

# ------------------------------------------------------------------------ drill
# hadolint ignore=DL3006
FROM ${MONGOD_IMAGE} AS mongod

FROM lifeboat AS drill
ARG PG_MAJORS="14 15 16 17 18"
ARG MONGOD_PACKAGES="libcurl4 libssl3 liblzma5"
USER 0:0
COPY --from=postgres /archive/ /
# The packages' own clusters are not wanted, and neither are their keys.
# hadolint ignore=SC2086
RUN set -eu; \
    mkdir -p /etc/postgresql-common/createcluster.d; \
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/lifeboat.conf; \
    packages=$MONGOD_PACKAGES; \
    for major in $PG_MAJORS; do packages="$packages postgresql-$major"; done; \
    apt-get update; \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* \
      /var/lib/postgresql /etc/ssl/private/ssl-cert-snakeoil.key
COPY --from=mongod /usr/bin/mongod /usr/local/bin/
LABEL org.opencontainers.image.title="lifeboat-drill"
USER 65532:65532

# ------------------------------------------------------------------------ neo4j
# hadolint ignore=DL3006
FROM ${NEO4J_IMAGE} AS neo4j-home
# hadolint ignore=DL3006
FROM ${KUBECTL_IMAGE} AS kubectl

FROM lifeboat AS neo4j
# Neo4j 5 runs on 17 and 21, the calendar versions on 21 and newer.
ARG JRE_PACKAGES=openjdk-17-jre-headless
USER 0:0
# Of the home its programs and jars, which nobody may change; data, logs and the rest are a volume's.
# hadolint ignore=SC2086
RUN --mount=type=bind,from=neo4j-home,source=/var/lib/neo4j,target=/neo4j \
    set -eu; \
    apt-get update; \
    mkdir -p /usr/share/man/man1; \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $JRE_PACKAGES; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/*; \
    mkdir -p /var/lib/neo4j/conf; \
    cp -r /neo4j/bin /neo4j/lib /var/lib/neo4j; \
    find /neo4j -maxdepth 1 -iname 'licen[sc]e*' -exec cp -r {} /var/lib/neo4j \;; \
    touch /var/lib/neo4j/conf/neo4j.conf; \
    chown -R 0:0 /var/lib/neo4j; \
    chmod -R a+rX,go-w /var/lib/neo4j
COPY --from=kubectl /bin/kubectl /usr/local/bin/
ENV NEO4J_HOME=/var/lib/neo4j
LABEL org.opencontainers.image.title="lifeboat-neo4j"
USER 65532:65532

# What a build without a target gives.
FROM lifeboat AS default

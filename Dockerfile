# SPDX-License-Identifier: Apache-2.0

# make image builds this: hack/image puts the static binaries and the
# certificate authorities into a folder for each platform, amd64 and arm64, and
# these into the context.
# No base image, no shell, no package manager: nothing in it but what runs.
FROM scratch
ARG TARGETARCH
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="BB-MCP Webhooks" \
      org.opencontainers.image.description="Outbound webhooks for Kubernetes: manager, gateway and dispatcher" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="BB-MCP Webhooks" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY ${TARGETARCH}/ /
USER 65532:65532
ENTRYPOINT ["/bbmcp-webhooks"]

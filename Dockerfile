# The agent's image, as `make image` makes it without a container daemon. For three architectures:
#   docker buildx build --platform linux/amd64,linux/arm64,linux/arm/v7 --build-arg VERSION=$(git describe --tags --always --dirty) \
#     --build-arg REVISION=$(git rev-parse HEAD) --tag rebootd .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS=linux TARGETARCH TARGETVARIANT VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY pkg pkg
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} \
    go build -trimpath -buildvcs=false -gcflags=all=-l -ldflags "-s -w -X main.version=$VERSION" -o /rebootd ./cmd/rebootd

# The program has the time zones inside.
FROM scratch
ARG VERSION=dev REVISION=
LABEL org.opencontainers.image.title=rebootd \
      org.opencontainers.image.description="Reboots the nodes of a Kubernetes cluster, safely, when their operating system asks for it" \
      org.opencontainers.image.url=https://github.com/rebootd/rebootd \
      org.opencontainers.image.source=https://github.com/rebootd/rebootd \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /rebootd /rebootd
# Memory is what every node pays. Two megabytes are in use, so that collecting often costs nothing that can be measured; and for each
# processor that it works on the Go runtime keeps memory ready. Nobody profiles it.
ENV GODEBUG=memprofilerate=0 GOGC=10 GOMAXPROCS=1
USER 0
ENTRYPOINT ["/rebootd"]

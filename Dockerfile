# The agent's image, as `go run ./test/image` makes it without a container daemon:
#   docker build --build-arg VERSION=$(git describe --tags --always --dirty) --tag rebootd .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS=linux TARGETARCH=amd64 VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY pkg pkg
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=$VERSION" -o /rebootd ./cmd/rebootd

FROM scratch
LABEL org.opencontainers.image.title=rebootd \
      org.opencontainers.image.source=https://github.com/rebootd/rebootd \
      org.opencontainers.image.licenses=Apache-2.0
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /rebootd /rebootd
USER 0
ENTRYPOINT ["/rebootd"]

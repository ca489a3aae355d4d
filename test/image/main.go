// Command image makes the agent's container image without a container daemon:
//
//	go run ./test/image -o dist/rebootd.tar
//
// The tar is for `ctr -n k8s.io images import`, `podman load`, `docker load` or `crane push`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/rebootd/rebootd/test/image/image"
)

func main() {
	var o image.Options
	flag.StringVar(&o.Output, "o", "dist/rebootd.tar", "path of the tar to write")
	flag.StringVar(&o.Tag, "tag", "localhost/rebootd:dev", "name of the image")
	flag.StringVar(&o.Platform, "platform", "linux/"+runtime.GOARCH, "operating system and architecture to build for")
	flag.StringVar(&o.Version, "version", "", "version that rebootd --version prints (default what git calls the sources)")
	flag.Parse()
	os.Exit(run(o))
}

func run(o image.Options) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	path, digest, err := image.Build(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	fmt.Printf("%s: image %s for %s, digest %s\n", path, o.Tag, o.Platform, digest)
	return 0
}

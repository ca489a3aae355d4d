// Command image makes the agent's container image without a container daemon:
//
//	go run ./test/image -o dist/rebootd.tar
//
// The tar is an archive of an OCI layout: for `ctr -n k8s.io images import`, `podman load` or `docker load`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/rebootd/rebootd/test/image/image"
)

func main() {
	var o image.Options
	flag.StringVar(&o.Output, "o", "dist/rebootd.tar", "path of the tar to write")
	flag.StringVar(&o.Tag, "tag", "localhost/rebootd:dev", "name of the image")
	platforms := flag.String("platforms", "linux/"+runtime.GOARCH, "what to build for, as in linux/amd64,linux/arm/v7; several make one image index")
	flag.StringVar(&o.Version, "version", "", "version that rebootd --version prints (default what git calls the sources)")
	flag.BoolVar(&o.Push, "push", false, "push it, too, to the registry that its name says, with the credentials of docker login")
	flag.Parse()
	o.Platforms = strings.Split(*platforms, ",")
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
	fmt.Printf("%s: image %s for %s, digest %s\n", path, o.Tag, strings.Join(o.Platforms, ", "), digest)
	return 0
}

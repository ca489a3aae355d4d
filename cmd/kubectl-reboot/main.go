// Command kubectl-reboot is the kubectl plugin for rebootd: `kubectl reboot`. See `kubectl reboot --help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // the ways to log in that a kubeconfig may name

	"github.com/rebootd/rebootd/cmd/kubectl-reboot/internal/cli"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	// A second signal ends it at once.
	context.AfterFunc(ctx, stop)
	code := cli.Run(ctx, cli.Env{
		IOStreams: genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
		Now:       time.Now, Getenv: os.Getenv, Version: version,
	}, os.Args[1:])
	stop()
	os.Exit(code)
}

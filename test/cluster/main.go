// Command cluster runs a real Kubernetes cluster on this machine, for trying things out and for
// tests: go run ./test/cluster help
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/rebootd/rebootd/test/cluster/lab"
)

const help = `A real Kubernetes cluster on this machine, for trying things out and for tests.

  go run ./test/cluster up [--tier N] [--nodes N]   start one, in the background
  go run ./test/cluster down                        stop it and remove everything it left
  go run ./test/cluster status                      what runs, and how to reach it
  go run ./test/cluster kubectl ARG…                kubectl, as cluster administrator

Tiers: 1 is etcd and the API server (3 s to start); 2 adds controllers, scheduler and simulated
nodes (6 s); 3 adds nodes that are real kernels, which really reboot (about a minute; needs root).
What is missing is built or installed first; the first build takes about ten minutes.

With tier 3 there are also:

  … ssh NODE [COMMAND…]                     a root shell on a node
  … load-image FILE                         bring a container image (a tar) to all nodes
  … power-cut NODE                          pull its plug
  … power-on NODE                           boot it again
  … next-boot [--delay 60s] [--never] NODE  make its next reboot slow, or fail

Every command takes --dir DIR right after its name: the cluster's folder, if not the usual one.
`

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 0 {
		args = []string{"help"}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	commands := map[string]func(context.Context, string, []string) error{
		"up": up, serveCommand: serve, "down": down, "status": status, "kubectl": kubectl,
		"ssh": ssh, "load-image": loadImage, "power-cut": powerCut, "power-on": powerOn, "next-boot": nextBoot,
	}
	command, ok := commands[args[0]]
	switch {
	case args[0] == "help" || args[0] == "-h" || args[0] == "--help":
		fmt.Print(help)
		return 0
	case !ok:
		fmt.Fprintf(os.Stderr, "error: there is no command %q\n\n%s", args[0], help)
		return 2
	}
	return exitCode(command(ctx, args[0], args[1:]))
}

func exitCode(err error) int {
	switch code := exitError(0); {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &code):
		return int(code)
	default:
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
}

// parse reads a command's flags and returns the cluster's folder, and the arguments, of which there
// must be between least and most.
func parse(flags *flag.FlagSet, args []string, least, most int) (dir string, rest []string, err error) {
	usual, err := lab.CacheDir()
	if err != nil {
		return "", nil, err
	}
	flags.StringVar(&dir, "dir", filepath.Join(usual, "cluster"), "folder of the cluster")
	if err := flags.Parse(args); err != nil {
		return "", nil, err
	}
	if n := flags.NArg(); n < least || n > most {
		return "", nil, fmt.Errorf("%s: wrong number of arguments: %d; see help", flags.Name(), n)
	}
	dir, err = filepath.Abs(dir)
	return dir, flags.Args(), err
}

func newFlags(name string) *flag.FlagSet { return flag.NewFlagSet(name, flag.ContinueOnError) }

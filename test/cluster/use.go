package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rebootd/rebootd/test/cluster/full"
	"github.com/rebootd/rebootd/test/cluster/machine"
)

const anyNumber = 1 << 20

func status(ctx context.Context, name string, args []string) error {
	dir, _, err := parse(newFlags(name), args, 0, 0)
	if err != nil {
		return err
	}
	s, err := readState(dir)
	if err != nil {
		return err
	}
	fmt.Print(s, "\n")
	return interactive(ctx, filepath.Join(s.Bin, "kubectl"), "--kubeconfig", s.Kubeconfig, "get", "nodes", "-o", "wide")
}

// kubectl runs kubectl with all arguments but a leading --dir DIR.
func kubectl(ctx context.Context, name string, args []string) error {
	var own []string
	switch {
	case len(args) >= 2 && args[0] == "--dir":
		own, args = args[:2], args[2:]
	case len(args) >= 1 && strings.HasPrefix(args[0], "--dir="):
		own, args = args[:1], args[1:]
	}
	dir, _, err := parse(newFlags(name), own, 0, 0)
	if err != nil {
		return err
	}
	s, err := readState(dir)
	if err != nil {
		return err
	}
	return interactive(ctx, filepath.Join(s.Bin, "kubectl"), append([]string{"--kubeconfig", s.Kubeconfig}, args...)...)
}

func ssh(ctx context.Context, name string, args []string) error {
	dir, args, err := parse(newFlags(name), args, 1, anyNumber)
	if err != nil {
		return err
	}
	m, err := attach(dir, args[0])
	if err != nil {
		return err
	}
	return interactive(ctx, "ip", append([]string{
		"netns", "exec", full.NetNS, "ssh", "-F", "none", "-i", filepath.Join(full.MachinesDir(dir), "ssh"),
		"-o", "LogLevel=ERROR", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "ConnectTimeout=5", "root@" + m.IP(),
	}, args[1:]...)...)
}

func loadImage(ctx context.Context, name string, args []string) error {
	dir, args, err := parse(newFlags(name), args, 1, 1)
	if err != nil {
		return err
	}
	set, err := machine.Attach(full.MachinesDir(dir))
	if err != nil {
		return err
	}
	for _, node := range set.Names() {
		m, err := set.Machine(node)
		if err != nil {
			return err
		}
		if err := m.LoadImage(ctx, args[0]); err != nil {
			return err
		}
		fmt.Println(node + ": loaded")
	}
	return nil
}

func powerCut(_ context.Context, name string, args []string) error {
	dir, args, err := parse(newFlags(name), args, 1, 1)
	if err != nil {
		return err
	}
	m, err := attach(dir, args[0])
	if err != nil {
		return err
	}
	return m.PowerCut()
}

func powerOn(ctx context.Context, name string, args []string) error {
	dir, args, err := parse(newFlags(name), args, 1, 1)
	if err != nil {
		return err
	}
	m, err := attach(dir, args[0])
	if err != nil {
		return err
	}
	return m.PowerOn(ctx)
}

func nextBoot(_ context.Context, name string, args []string) error {
	flags := newFlags(name)
	delay := flags.Duration("delay", 0, "how long the node stays away")
	never := flags.Bool("never", false, "the node stays away until power-on")
	dir, args, err := parse(flags, args, 1, 1)
	if err != nil {
		return err
	}
	m, err := attach(dir, args[0])
	if err != nil {
		return err
	}
	return m.NextBoot(*delay, *never)
}

func attach(dir, node string) (*machine.Machine, error) {
	set, err := machine.Attach(full.MachinesDir(dir))
	if err != nil {
		return nil, fmt.Errorf("this needs a tier 3 cluster: %w", err)
	}
	return set.Machine(node)
}

// interactive runs a program on this terminal. An interrupt is the program's business.
func interactive(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
		return exitError(exit.ExitCode())
	}
	return err
}

// exitError is that of a program we ran for the user, which has said itself what was wrong.
type exitError int

func (s exitError) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

package machine_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rebootd/rebootd/test/cluster/full"
	"github.com/rebootd/rebootd/test/cluster/machine"
)

// TestMachines boots real kernels and takes them down in every way there is.
func TestMachines(t *testing.T) {
	if os.Getenv("REBOOTD_TEST_TIER") != "3" {
		t.Skip("boots real kernels, which needs root and minutes; set REBOOTD_TEST_TIER=3")
	}
	dir := t.TempDir()
	cluster, err := full.Start(t.Context(), full.Options{Dir: dir, Nodes: 3, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	var set *machine.Set
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
		expectNothingLeft(t, dir)
		if set == nil {
			return
		}
		if err := set.Stop(); err != nil {
			t.Errorf("stopping what is stopped: %v", err)
		}
	})
	// Not the set that Start returned: whoever attaches must be able to do all the same.
	set, err = machine.Attach(full.MachinesDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	waitReady := func(t *testing.T) {
		t.Helper()
		if err := cluster.WaitReady(t.Context(), 3); err != nil {
			t.Error(err)
		}
	}
	t.Run("reboot", func(t *testing.T) {
		t.Run("all", func(t *testing.T) { testReboot(t, set) }) // returns when all are back
		waitReady(t)
	})
	t.Run("power cut", func(t *testing.T) { testPowerCut(t, get(t, set, "node1")); waitReady(t) })
	t.Run("slow reboot", func(t *testing.T) { testSlowReboot(t, get(t, set, "node2")) })
	t.Run("no return", func(t *testing.T) { testNoReturn(t, get(t, set, "node3")); waitReady(t) })
	t.Run("image", func(t *testing.T) { testImage(t, get(t, set, "node2")) })
	t.Run("second cluster", func(t *testing.T) {
		_, err := machine.PrepareNetwork(t.Context(), t.TempDir(), t.Output())
		if err == nil || !strings.Contains(err.Error(), "only one cluster") {
			t.Errorf("a second cluster got a network: %v", err)
		}
	})
}

// testReboot reboots all machines at once.
func testReboot(t *testing.T, set *machine.Set) {
	for _, name := range set.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := get(t, set, name)
			before := bootID(t, m)
			exec(t, m, "touch /run/reboot-required /var/lib/stays")
			reboot(t, m)
			after, err := m.WaitReboot(deadline(t), before)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s became %s", before, after)
			if got := exec(t, m, "ls -d /run/reboot-required /var/lib/stays || true"); got != "/var/lib/stays\n" {
				t.Errorf("after the reboot there is %q", got)
			}
		})
	}
}

func testPowerCut(t *testing.T, m *machine.Machine) {
	before := bootID(t, m)
	exec(t, m, "echo kept >/var/lib/synced && sync")
	if err := m.PowerCut(); err != nil {
		t.Fatal(err)
	}
	if result, err := m.Exec(t.Context(), "true"); err == nil {
		t.Fatalf("a machine without power answers: %+v", result)
	}
	if err := m.PowerOn(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if err := m.PowerOn(t.Context()); err == nil {
		t.Error("a machine that is on could be powered on")
	}
	if bootID(t, m) == before {
		t.Error("the boot ID is that from before the power cut")
	}
	if got := exec(t, m, "cat /var/lib/synced"); got != "kept\n" {
		t.Errorf("of a file that was synced, %q is left", got)
	}
}

func testSlowReboot(t *testing.T, m *machine.Machine) {
	const delay = 20 * time.Second
	before := bootID(t, m)
	if err := m.NextBoot(delay, false); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	reboot(t, m)
	if _, err := m.WaitReboot(deadline(t), before); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < delay {
		t.Errorf("came back after %s", took)
	}
}

func testNoReturn(t *testing.T, m *machine.Machine) {
	before := bootID(t, m)
	if err := m.NextBoot(0, true); err != nil {
		t.Fatal(err)
	}
	reboot(t, m)
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	if after, err := m.WaitReboot(ctx, before); err == nil {
		t.Fatalf("came back as %s", after)
	}
	if err := m.PowerOn(deadline(t)); err != nil {
		t.Fatal(err)
	}
}

func testImage(t *testing.T, m *machine.Machine) {
	dir := t.TempDir()
	program, image := filepath.Join(dir, "program"), filepath.Join(dir, "image.tar")
	if err := os.WriteFile(program, []byte("not really"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := machine.WriteImage(image, "localhost/some:thing", program); err != nil {
		t.Fatal(err)
	}
	if err := m.LoadImage(t.Context(), image); err != nil {
		t.Fatal(err)
	}
	if images := exec(t, m, "ctr -n k8s.io images ls -q"); !strings.Contains(images, "localhost/some:thing\n") {
		t.Errorf("images: %s", images)
	}
}

// expectNothingLeft looks for processes that know dir, and for the network.
func expectNothingLeft(t *testing.T, dir string) {
	t.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range commands {
		command, err := os.ReadFile(file)
		if err == nil && bytes.Contains(command, []byte(dir)) {
			t.Errorf("still running: %s: %q", file, command)
		}
	}
	if _, err := os.Stat("/run/netns/" + full.NetNS); err == nil {
		t.Error("the network namespace is left")
	}
}

func get(t *testing.T, set *machine.Set, name string) *machine.Machine {
	t.Helper()
	m, err := set.Machine(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func exec(t *testing.T, m *machine.Machine, command string) string {
	t.Helper()
	result, err := m.Exec(t.Context(), command)
	if err != nil || result.ExitCode != 0 {
		t.Fatalf("%s: %+v, %v", command, result, err)
	}
	return result.Stdout
}

// reboot has the machine reboot. That cuts the connection, or not: both is fine.
func reboot(t *testing.T, m *machine.Machine) {
	t.Helper()
	result, err := m.Exec(t.Context(), "systemctl reboot")
	t.Logf("systemctl reboot: %+v, %v", result, err)
}

func bootID(t *testing.T, m *machine.Machine) string {
	t.Helper()
	id, err := m.BootID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

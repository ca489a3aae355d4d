package machine_test

import (
	"os"
	"testing"
	"time"

	"github.com/rebootd/rebootd/test/cluster/machine"
)

// TestMachines boots real kernels, without a control plane.
func TestMachines(t *testing.T) {
	if os.Getenv("REBOOTD_TEST_TIER") != "3" {
		t.Skip("needs root and minutes; set REBOOTD_TEST_TIER=3")
	}
	dir := t.TempDir()
	network, err := machine.PrepareNetwork(t.Context(), dir, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := network.Remove(); err != nil {
			t.Error(err)
		}
	})
	set, err := machine.Start(t.Context(), network, machine.Options{Dir: dir, Count: 3, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set.Stop(); err != nil {
			t.Error(err)
		}
	})
	m, err := set.Machine("node1")
	if err != nil {
		t.Fatal(err)
	}
	_ = time.Second
	if s := os.Getenv("HOLD"); s != "" {
		d, _ := time.ParseDuration(s)
		time.Sleep(d)
	}
	result, err := m.Exec(t.Context(), "systemd-analyze; systemd-analyze blame | head -20; systemctl --failed; free -m; df -h; uname -a; systemctl is-system-running")
	t.Log(result.Stdout, result.Stderr, err)
}

package host

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A mount namespace of its own plays the host: only there does /usr/local/sbin hold these files.
const fixtureScript = `set -e
mount -t tmpfs none /usr/local/sbin
cd /usr/local/sbin
echo here >rebootd-marker
cat >rebootd-say <<'END'
#!/bin/sh
cat /usr/local/sbin/rebootd-marker
pwd
readlink /proc/self/ns/mnt
env | sort
END
printf '#!/no/such/interpreter\n' >rebootd-orphan
chmod +x rebootd-say rebootd-orphan
echo ready
exec sleep 600
`

const markerFile = "/usr/local/sbin/rebootd-marker"

// fakeHost returns a Host whose "host" is another mount namespace, and that namespace's name.
func fakeHost(t *testing.T) (h *Host, ns string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make and enter a mount namespace")
	}
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", fixtureScript)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("needs unshare(1):", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Skipf("needs the right to make a mount namespace: %q, %v", line, err)
	}
	file := fmt.Sprintf("/proc/%d/ns/mnt", cmd.Process.Pid)
	return New(Options{MountNS: file}), readlink(t, file)
}

func ownHost() *Host { return New(Options{Namespace: NamespaceOwn}) }

func sh(script string, args ...string) []string {
	return append([]string{"sh", "-c", script, "sh"}, args...)
}

func readlink(t *testing.T, file string) string {
	t.Helper()
	link, err := os.Readlink(file)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// alive says whether process pid runs; a zombie doesn't.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// killLater ends a process that a test left behind on purpose.
func killLater(t *testing.T, pid int) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("not a process that a test started: %d", pid)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never happened: ", what)
		}
	}
}

func wantErr(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q doesn't say %q", err, w)
		}
	}
}

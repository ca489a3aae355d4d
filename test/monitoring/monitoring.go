// Package monitoring starts real Prometheus and Alertmanager servers for tests: those of Debian, unpacked into the user's cache.
package monitoring

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rebootd/rebootd/test/cluster/lab"
)

// packages are Debian's, with the program in each that is started.
var packages = map[string]string{"prometheus": "prometheus", "prometheus-alertmanager": "prometheus-alertmanager"}

// programs returns the folder that the programs are in. The first call on a machine downloads them.
func programs(ctx context.Context) (string, error) {
	cache, err := lab.CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "monitoring")
	bin := filepath.Join(dir, "usr", "bin")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(cache, "tmp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // a left-over in a cache
	if err := unpack(ctx, tmp); err != nil {
		return "", err
	}
	// Another process may have been first.
	if err := os.Rename(filepath.Join(tmp, "root"), dir); err != nil {
		if _, statErr := os.Stat(bin); statErr != nil {
			return "", err
		}
	}
	return bin, nil
}

func unpack(ctx context.Context, dir string) error {
	run := func(name string, args ...string) error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
		}
		return nil
	}
	download := []string{"download", "-qq"}
	for name := range packages {
		download = append(download, name)
	}
	if err := run("apt-get", download...); err != nil { // presumably the lists are not there, or are old
		if err := run("apt-get", "update", "-qq"); err != nil {
			return err
		}
		if err := run("apt-get", download...); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(files) != len(packages) {
		return fmt.Errorf("downloaded %v: %w", files, err)
	}
	for _, file := range files {
		if err := run("dpkg-deb", "-x", file, "root"); err != nil {
			return err
		}
	}
	// Debian's Alertmanager looks for its templates at this path; in our copy, in its working directory.
	const templates = "/usr/share/prometheus/alertmanager"
	program := filepath.Join(dir, "root", "usr", "bin", packages["prometheus-alertmanager"])
	code, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	here := "." + strings.Repeat("/", len(templates)-1)
	return os.WriteFile(program, bytes.ReplaceAll(code, []byte(templates), []byte(here)), 0o755)
}

// Server is a server that runs until its test ends.
type Server struct {
	// Address is host:port.
	Address string
	// Dir holds its files.
	Dir  string
	stop func()
}

// Stop ends it before the test does.
func (s *Server) Stop() { s.stop() }

// URL is its address over HTTP.
func (s *Server) URL() string { return "http://" + s.Address }

// Prometheus starts one with this configuration and these files beside it. Its web configuration is the file web.yml, if there
// is one; then ready says how to reach it.
func Prometheus(t testing.TB, config string, files map[string]string, ready func(address string) error) *Server {
	t.Helper()
	s := prepare(t, files)
	s.write(t, "prometheus.yml", config)
	args := []string{"--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=" + s.Address, "--log.level=warn"}
	if _, ok := files["web.yml"]; ok {
		args = append(args, "--web.config.file=web.yml")
	}
	if ready == nil {
		ready = func(address string) error { return isReady("http://" + address + "/-/ready") }
	}
	s.start(t, "prometheus", args, ready)
	return s
}

// Alertmanager starts one with this configuration, that is a cluster by itself unless flags say otherwise.
func Alertmanager(t testing.TB, config string, flags ...string) *Server {
	t.Helper()
	s := prepare(t, nil)
	s.write(t, "alertmanager.yml", config)
	bin, err := programs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(s.Dir, os.DirFS(filepath.Join(bin, "..", "share", "prometheus", "alertmanager"))); err != nil {
		t.Fatal(err)
	}
	if flags == nil {
		flags = []string{"--cluster.listen-address="}
	}
	s.start(t, "prometheus-alertmanager", append([]string{"--config.file=alertmanager.yml", "--storage.path=data", "--log.level=warn",
		"--web.listen-address=" + s.Address}, flags...), func(address string) error { return isReady("http://" + address + "/-/ready") })
	return s
}

func prepare(t testing.TB, files map[string]string) *Server {
	t.Helper()
	// Each test process has loopback addresses of its own, so that no other takes the port between here and the start.
	var b [2]byte
	_, _ = rand.Read(b[:])
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.77.%d.%d:0", b[0], 1+b[1]%254))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Address: l.Addr().String(), Dir: t.TempDir()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		s.write(t, name, text)
	}
	return s
}

func (s *Server) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) start(t testing.TB, program string, args []string, ready func(address string) error) {
	t.Helper()
	bin, err := programs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, packages[program]), args...) // ends with stop
	cmd.Dir = s.Dir
	out, err := os.Create(filepath.Join(s.Dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		// The server is killed when the thread ends that started it, and tests may wear out threads.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	s.stop = func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(s.stop)
	deadline := time.Now().Add(30 * time.Second)
	for err = ready(s.Address); err != nil; err = ready(s.Address) {
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(out.Name())
			t.Fatalf("%s is not ready: %v\n%s", program, err, text)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func isReady(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

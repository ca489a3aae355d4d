package machine

import (
	"archive/tar"
	"bytes"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMachinesDiffer(t *testing.T) {
	seen := map[string]string{gateway: "the gateway", serviceIP: "the service"}
	links := netip.MustParsePrefix(gateway + "/24")
	for i := range maxCount {
		s := newSpec(i+1, "/lab", "/image")
		for _, own := range []string{s.Name, s.IP.String(), s.Pods.String(), s.Tap, s.MAC, s.Dir} {
			if other, ok := seen[own]; ok {
				t.Errorf("%s and %s share %s", s.Name, other, own)
			}
			seen[own] = s.Name
		}
		if !links.Contains(s.IP) || links.Overlaps(s.Pods) {
			t.Errorf("%s: address %s and pods %s don't fit the network %s", s.Name, s.IP, s.Pods, links)
		}
	}
}

func TestSeed(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key+".pub", []byte("public"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSpec(2, dir, "/image")
	err := s.prepare(Options{
		NodeFiles: func(name string) (kubeconfig, ca, cert, key []byte, err error) {
			return []byte("config of " + name), []byte("ca"), []byte("cert"), []byte("key"), nil
		},
		Labels: func(string) map[string]string { return map[string]string{"b": "2", "a": "1"} },
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	seed := readTar(t, s.seed())
	for path, want := range map[string]string{
		"etc/lab/authorized_keys":   "public",
		"etc/kubernetes/kubeconfig": "config of node2",
		"etc/kubernetes/ca.crt":     "ca",
		"etc/hostname":              "node2\n",
	} {
		if seed[path] != want {
			t.Errorf("%s is %q, want %q", path, seed[path], want)
		}
	}
	for _, want := range []string{"LAB_NAME=node2\n", "LAB_PODS=10.89.2.0/24\n", "LAB_LABELS=a=1,b=2\n"} {
		if !strings.Contains(seed["etc/lab/machine.env"], want) {
			t.Errorf("the environment lacks %q:\n%s", want, seed["etc/lab/machine.env"])
		}
	}
}

func readTar(t *testing.T, path string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for reader := tar.NewReader(bytes.NewReader(content)); ; {
		header, err := reader.Next()
		if err == io.EOF { //nolint:errorlint // as documented
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(data)
	}
}

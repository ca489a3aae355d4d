package image_test

import (
	"archive/tar"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/rebootd/rebootd/test/image/image"
)

func contents() image.Contents {
	return image.Contents{
		OS: "linux", Arch: "arm64", User: "0", Entrypoint: []string{"/program"},
		Files: []image.File{
			{Path: "/program", Mode: 0o755, Content: []byte("a program")},
			{Path: "/etc/ssl/certs/all.crt", Mode: 0o644, Content: []byte("a")},
			{Path: "/etc/ssl/other", Mode: 0o600, Content: []byte("b")},
		},
		Labels: map[string]string{"b": "2", "a": "1"},
	}
}

func TestWriteIsReproducible(t *testing.T) {
	dir := t.TempDir()
	first, err := image.Write(filepath.Join(dir, "1.tar"), "localhost/program:1", contents())
	if err != nil {
		t.Fatal(err)
	}
	second, err := image.Write(filepath.Join(dir, "2.tar"), "localhost/other:2", contents())
	if err != nil {
		t.Fatal(err)
	}
	if first != second || !strings.HasPrefix(first, "sha256:") {
		t.Errorf("digests %s and %s", first, second)
	}
}

func TestWriteWritesWhatItIsGiven(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.tar")
	if _, err := image.Write(path, "localhost/program:1", contents()); err != nil {
		t.Fatal(err)
	}
	read, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := read.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Architecture != "arm64" || config.Config.User != "0" ||
		config.Config.Entrypoint[0] != "/program" || config.Config.Labels["a"] != "1" {
		t.Errorf("config: %+v", config)
	}
	files := mutate.Extract(read)
	defer files.Close()
	var names []string
	for reader := tar.NewReader(files); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
	if got := strings.Join(names, " "); got != "program etc etc/ssl etc/ssl/certs etc/ssl/certs/all.crt etc/ssl/other" {
		t.Errorf("files: %s", got)
	}
}

func TestBuildSaysWhatIsWrong(t *testing.T) {
	output := filepath.Join(t.TempDir(), "x.tar")
	for want, o := range map[string]image.Options{
		"needs a path":              {},
		"of the form linux/amd64":   {Output: output, Platform: "linux"},
		"building example.org/none": {Output: output, Package: "example.org/none"},
	} {
		if _, _, err := image.Build(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", o, err, want)
		}
	}
}

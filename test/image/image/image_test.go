package image_test

import (
	"archive/tar"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/rebootd/rebootd/test/image/image"
)

func contents() image.Contents {
	return image.Contents{
		Platform: "linux/arm64", User: "0", Entrypoint: []string{"/program"}, Env: []string{"A=1"},
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

// open reads an archive of an OCI layout, and the descriptors in its index.
func open(t *testing.T, tarPath string) (v1.ImageIndex, []v1.Descriptor) {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-xf", tarPath, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	read, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := read.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	return read, manifest.Manifests
}

func TestWriteWritesWhatItIsGiven(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.tar")
	digest, err := image.Write(path, "localhost/program:1", contents())
	if err != nil {
		t.Fatal(err)
	}
	index, found := open(t, path)
	if len(found) != 1 || found[0].Digest.String() != digest || found[0].Annotations["io.containerd.image.name"] != "localhost/program:1" {
		t.Fatalf("index: %+v, digest %s", found, digest)
	}
	read, err := index.Image(found[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(read); err != nil {
		t.Error(err)
	}
	config, err := read.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Architecture != "arm64" || config.Config.User != "0" ||
		config.Config.Entrypoint[0] != "/program" || !slices.Equal(config.Config.Env, []string{"A=1"}) || config.Config.Labels["a"] != "1" {
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

// platforms gives the same contents to several.
func platforms(names ...string) []image.Contents {
	var all []image.Contents
	for _, name := range names {
		c := contents()
		c.Platform = name
		all = append(all, c)
	}
	return all
}

func platformsOf(t *testing.T, index v1.ImageIndex) string {
	t.Helper()
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, one := range manifest.Manifests {
		names = append(names, one.Platform.String())
	}
	return strings.Join(names, " ")
}

func TestSeveralPlatformsMakeAnIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.tar")
	digest, err := image.Write(path, "localhost/program:1", platforms("linux/amd64", "linux/arm64", "linux/arm/v7")...)
	if err != nil {
		t.Fatal(err)
	}
	outer, found := open(t, path)
	if len(found) != 1 || found[0].Digest.String() != digest {
		t.Fatalf("index: %+v, digest %s", found, digest)
	}
	index, err := outer.ImageIndex(found[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if got := platformsOf(t, index); got != "linux/amd64 linux/arm64 linux/arm/v7" {
		t.Errorf("platforms: %s", got)
	}
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	tag := strings.TrimPrefix(server.URL, "http://") + "/rebootd:1"
	path := filepath.Join(t.TempDir(), "image.tar")
	for _, all := range [][]image.Contents{platforms("linux/amd64"), platforms("linux/amd64", "linux/arm/v7")} {
		want, err := image.Write(path, tag, all...)
		if err != nil {
			t.Fatal(err)
		}
		if err := image.Push(t.Context(), tag, all...); err != nil {
			t.Fatal(err)
		}
		ref, err := name.NewTag(tag)
		if err != nil {
			t.Fatal(err)
		}
		got, err := remote.Head(ref)
		if err != nil || got.Digest.String() != want {
			t.Errorf("pushed %v, %v; wrote %s", got, err, want)
		}
	}
	server.Close()
	if err := image.Push(t.Context(), tag, contents()); err == nil || !strings.Contains(err.Error(), "pushing image "+tag) {
		t.Errorf("error %v", err)
	}
}

func TestBuildSaysWhatIsWrong(t *testing.T) {
	output := filepath.Join(t.TempDir(), "x.tar")
	for want, o := range map[string]image.Options{
		"needs a path":              {},
		`platform "linux" isn't of`: {Output: output, Platforms: []string{"linux"}},
		`platform "linux/arm"`:      {Output: output, Platforms: []string{"linux/arm"}},
		`platform "linux/amd64/v7"`: {Output: output, Platforms: []string{"linux/amd64/v7"}},
		"building example.org/none": {Output: output, Package: "example.org/none"},
	} {
		if _, _, err := image.Build(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", o, err, want)
		}
	}
}

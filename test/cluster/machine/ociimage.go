package machine

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// WriteImage writes a container image of one static binary, which is its entrypoint, to a tar that
// Machine.LoadImage takes. Pods name it as ref, and must say imagePullPolicy: Never.
func WriteImage(path, ref, binary string) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return fmt.Errorf("naming image: %w", err)
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("reading the program of image %s: %w", ref, err)
	}
	image, err := imageOf(filepath.Base(binary), content)
	if err != nil {
		return fmt.Errorf("making image %s: %w", ref, err)
	}
	if err := tarball.WriteToFile(path, tag, image); err != nil {
		return fmt.Errorf("writing image %s: %w", ref, err)
	}
	return nil
}

func imageOf(program string, content []byte) (v1.Image, error) {
	var files bytes.Buffer
	if err := writeTar(&files, []tarFile{{program, 0o755, content}}); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config.Entrypoint = []string{"/" + program}
	return mutate.ConfigFile(image, config)
}

// tarFile is one file of a tar, its path without a leading slash.
type tarFile struct {
	path    string
	mode    int64
	content []byte
}

func writeTar(to io.Writer, files []tarFile) error {
	writer := tar.NewWriter(to)
	for _, file := range files {
		header := &tar.Header{Name: file.path, Mode: file.mode, Size: int64(len(file.content))}
		if err := writer.WriteHeader(header); err != nil {
			return fmt.Errorf("writing %s to tar: %w", file.path, err)
		}
		if _, err := writer.Write(file.content); err != nil {
			return fmt.Errorf("writing %s to tar: %w", file.path, err)
		}
	}
	if err := writer.Close(); err != nil {
		return fmt.Errorf("writing the end of tar: %w", err)
	}
	return nil
}

package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// writeLayout writes an OCI layout as a tar.
func writeLayout(tarPath string, ref name.Tag, made described) error {
	work, err := os.MkdirTemp("", "rebootd-layout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // a temporary folder
	to, err := layout.Write(work, empty.Index)
	if err != nil {
		return err
	}
	named := layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": ref.TagStr(),
		"io.containerd.image.name":          ref.Name(), // by which ctr, docker and podman know what to call it
	})
	switch made := made.(type) {
	case v1.Image:
		err = to.AppendImage(made, named)
	case v1.ImageIndex:
		err = to.AppendIndex(made, named)
	default:
		err = fmt.Errorf("%T is no image", made)
	}
	if err != nil {
		return err
	}
	return tarFolder(tarPath, work)
}

// tarFolder archives a folder's files, in the order of their names and without anything that differs from one time to the next.
func tarFolder(tarPath, folder string) (err error) {
	file, err := os.Create(tarPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	writer := tar.NewWriter(file)
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		if err := writer.WriteHeader(&tar.Header{Name: filepath.ToSlash(inside), Mode: 0o644, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err = writer.Write(content)
		return err
	})
	return errors.Join(err, writer.Close())
}

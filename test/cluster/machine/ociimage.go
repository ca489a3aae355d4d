package machine

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/rebootd/rebootd/test/image/image"
)

// WriteImage writes a container image of one static binary, which is its entrypoint, to a tar that
// Machine.LoadImage takes. Pods name it as ref, and must say imagePullPolicy: Never.
func WriteImage(path, ref, binary string) error {
	content, err := os.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("reading the program of image %s: %w", ref, err)
	}
	program := "/" + filepath.Base(binary)
	_, err = image.Write(path, ref, image.Contents{
		Platform: "linux/amd64", Entrypoint: []string{program},
		Files: []image.File{{Path: program, Mode: 0o755, Content: content}},
	})
	return err
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

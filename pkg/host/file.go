package host

import (
	"fmt"
	"io"
	"os"
)

// ReadFile reads a small file where Run would run a command: at most its first 64 KiB.
func (h *Host) ReadFile(path string) ([]byte, error) {
	const limit = 64 << 10
	var content []byte
	err := h.inside(func() error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		content, err = io.ReadAll(io.LimitReader(file, limit))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s in %s: %w", path, h.where(), err)
	}
	return content, nil
}

//go:build !linux

package host

import "errors"

func inMountNS(string, func() error) error {
	return errors.New("mount namespaces exist on Linux only; set --command-namespace=own")
}

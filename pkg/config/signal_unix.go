//go:build unix

package config

import "golang.org/x/sys/unix"

// signalNumber is 0 for a name that it doesn't know.
func signalNumber(name string) int { return int(unix.SignalNum(name)) }

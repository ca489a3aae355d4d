//go:build !unix

package config

// signalNumber knows no names here: agents run on Linux, and only the plugin, which reads no signal, is built for such systems.
func signalNumber(string) int { return 0 }

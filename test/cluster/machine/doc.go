// Package machine runs real Linux kernels as cluster nodes on one plain machine: User-Mode Linux
// with systemd, containerd and a kubelet. What happens inside is real: `systemctl reboot` shuts
// services down, starts a new kernel with a new boot ID and mounts a disk that may have lost its
// last writes.
//
// What differs from a real machine: there is one CPU and no cpuset controller; udev doesn't run; a
// kernel that panics hangs until its power is cut, whatever kernel.panic says; files that come from
// the seed (/etc/lab, /etc/kubernetes, /etc/hosts, /etc/hostname) are written anew at every boot.
//
// It needs root (for a network namespace, taps and building the image), but changes nothing
// outside of its namespace, its directory and the cache, except that it installs missing Debian
// packages. Machines live in process ID namespaces of their own, and die with the process that
// supervises them: this one, or in detached mode a copy of it. No process is ever signalled by a
// number read from a file.
//
// All machines share one network namespace, whose name is fixed. It is the lock too: one machine
// can run one such cluster at a time.
//
//	network, err := machine.PrepareNetwork(ctx, dir, os.Stderr)
//	… start an API server in network.NetNS, on 0.0.0.0:443 …
//	set, err := machine.Start(ctx, network, machine.Options{Dir: dir, Count: 3, …})
//	node1, err := set.Machine("node1")
//	result, err := node1.Exec(ctx, "systemctl reboot")
package machine

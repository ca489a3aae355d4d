package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Options says what machines to start.
type Options struct {
	Dir   string    // for disks, consoles and keys; what machines an earlier run had there is lost
	Count int       // machines are called node1, node2, …
	Log   io.Writer // gets a line for every step; may be nil

	// KubeletBinary is a static binary that is a kubelet when called kubelet. Without it machines
	// have no kubelet.
	KubeletBinary string
	// NodeFiles returns a machine's kubeconfig with everything in it, the authority that signs the
	// API server's client certificate, and a serving certificate with its key.
	NodeFiles func(name string) (kubeconfig, ca, cert, key []byte, err error)
	// Labels returns what the kubelet labels its Node with. It may not set node-role.kubernetes.io.
	Labels func(name string) map[string]string

	// Detached machines survive this process, until Stop. A copy of this executable supervises
	// them, so its main must pass what follows the argument SuperviseCommand to SuperviseMain.
	Detached bool
}

// control passes a request to the supervisor, be it here or in another process.
type control func(request) error

// Set is the machines of one cluster.
type Set struct {
	state   state
	dir     string
	say     *logger
	control control
}

// state is what is kept about a set in its directory, for its supervisor and for Attach.
type state struct {
	Specs []spec
	Key   string // SSH key
}

// Start boots machines with new disks, and returns when all of them answer. It builds their image
// first unless it is in the cache. ctx ends only the starting: machines run until Stop, or if not
// detached until this process ends. A network can be used once.
func Start(ctx context.Context, network Network, o Options) (*Set, error) {
	if o.Count < 1 || o.Count > maxCount {
		return nil, fmt.Errorf("cannot start %d machines: it must be 1 to %d", o.Count, maxCount)
	}
	say := newLog(o.Log)
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the machines' directory: %w", err)
	}
	image, err := buildImage(ctx, o.KubeletBinary, say)
	if err != nil {
		return nil, fmt.Errorf("building the machines' disk image: %w", err)
	}
	set := &Set{dir: dir, say: say, state: state{Key: filepath.Join(dir, "ssh")}}
	for i := range o.Count {
		set.state.Specs = append(set.state.Specs, newSpec(i+1, dir, image))
	}
	if remote(dir)(request{Verb: ping}) == nil {
		return nil, fmt.Errorf("machines run in %s already", dir)
	}
	if err := set.prepare(ctx, network, o); err != nil {
		return nil, err
	}
	if err := set.supervise(ctx, network, o.Detached); err != nil {
		return nil, err
	}
	if err := set.boot(ctx); err != nil {
		return nil, errors.Join(err, set.Stop())
	}
	return set, nil
}

// supervise starts the supervisor, with all machines off.
func (s *Set) supervise(ctx context.Context, network Network, detached bool) error {
	if detached {
		var err error
		s.control, err = startRemote(ctx, s.dir)
		return err
	}
	if _, err := newSupervisor(network, s.state.Specs, s.say).listen(s.dir); err != nil {
		return err
	}
	s.control = remote(s.dir)
	return nil
}

func (s *Set) prepare(ctx context.Context, network Network, o Options) error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("making the machines' directory: %w", err)
	}
	for _, old := range []string{s.state.Key, s.state.Key + ".pub"} {
		if err := os.RemoveAll(old); err != nil {
			return fmt.Errorf("removing the old SSH key: %w", err)
		}
	}
	err := run(ctx, exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", s.state.Key))
	if err != nil {
		return err
	}
	for _, spec := range s.state.Specs {
		if err := spec.prepare(o, s.state.Key); err != nil {
			return err
		}
		if err := network.plug(ctx, spec); err != nil {
			return fmt.Errorf("connecting %s to the network: %w", spec.Name, err)
		}
	}
	content, err := json.MarshalIndent(s.state, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the machines' state: %w", err)
	}
	if err := os.WriteFile(statePath(s.dir), content, 0o600); err != nil {
		return fmt.Errorf("writing the machines' state: %w", err)
	}
	return nil
}

// boot powers all machines on and waits until they answer.
func (s *Set) boot(ctx context.Context) error {
	for _, name := range s.Names() {
		if err := s.control(request{Verb: powerOn, Machine: name}); err != nil {
			return fmt.Errorf("powering on %s: %w", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for _, name := range s.Names() {
		machine, err := s.Machine(name)
		if err != nil {
			return err
		}
		if err := machine.WaitUp(ctx); err != nil {
			return err
		}
		s.say.printf("%s: up", name)
	}
	return nil
}

// Attach returns the machines that run in dir, whichever process started them.
func Attach(dir string) (*Set, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding the machines' directory: %w", err)
	}
	set := &Set{dir: dir, say: newLog(nil), control: remote(dir)}
	if set.state, err = readState(dir); err != nil {
		return nil, err
	}
	if err := set.control(request{Verb: ping}); err != nil {
		return nil, fmt.Errorf("no machines run in %s: %w", dir, err)
	}
	return set, nil
}

// Names returns the machines' names, which are their Nodes' names too.
func (s *Set) Names() []string {
	names := make([]string, 0, len(s.state.Specs))
	for _, spec := range s.state.Specs {
		names = append(names, spec.Name)
	}
	return names
}

// Machine returns one machine.
func (s *Set) Machine(name string) (*Machine, error) {
	for _, spec := range s.state.Specs {
		if spec.Name == name {
			return &Machine{spec: spec, key: s.state.Key, control: s.control}, nil
		}
	}
	return nil, fmt.Errorf("no machine is called %q", name)
}

// Stop cuts the power of all machines, for good. It may be called again. Their consoles stay in the
// directory; the network is left alone.
func (s *Set) Stop() error {
	s.say.printf("stopping the machines")
	err := s.control(request{Verb: stop})
	// Where there is no supervisor any more, its machines have died with it.
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("stopping the machines: %w", err)
	}
	for _, spec := range s.state.Specs {
		if err := os.RemoveAll(spec.disk()); err != nil {
			return fmt.Errorf("removing the disk of %s: %w", spec.Name, err)
		}
	}
	return nil
}

func statePath(dir string) string { return filepath.Join(dir, "machines.json") }

func readState(dir string) (state, error) {
	content, err := os.ReadFile(statePath(dir))
	if err != nil {
		return state{}, fmt.Errorf("reading the machines' state: %w", err)
	}
	var s state
	if err := json.Unmarshal(content, &s); err != nil {
		return state{}, fmt.Errorf("decoding the machines' state: %w", err)
	}
	return s, nil
}

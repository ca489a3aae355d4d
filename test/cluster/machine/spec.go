package machine

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	kernel   = "/usr/bin/linux.uml"
	memory   = "1024M"
	maxCount = 100
)

// spec is all that a supervisor must know to run a machine.
type spec struct {
	Name  string
	IP    netip.Addr
	Pods  netip.Prefix // the addresses of its pods
	Tap   string
	MAC   string
	Dir   string // of this machine alone
	Image string // the disk it started with
}

func newSpec(number int, dir, image string) spec {
	name := fmt.Sprintf("node%d", number)
	return spec{
		Name:  name,
		IP:    netip.AddrFrom4([4]byte{10, 88, 0, byte(10 + number)}),
		Pods:  netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 89, byte(number), 0}), 24),
		Tap:   fmt.Sprintf("tap%d", number),
		MAC:   fmt.Sprintf("02:88:00:00:00:%02x", number),
		Dir:   filepath.Join(dir, name),
		Image: image,
	}
}

func (s spec) console() string { return filepath.Join(s.Dir, "console.log") }
func (s spec) disk() string    { return filepath.Join(s.Dir, "disk.cow") }
func (s spec) seed() string    { return filepath.Join(s.Dir, "seed.tar") }

// rebootMark is the program that the kernel executes to reboot.
func (s spec) rebootMark() string { return filepath.Join(s.Dir, "reboot-mark.sh") }

// args is the machine's command line. The first is what the kernel executes when it reboots.
func (s spec) args() []string {
	id := sha256.Sum256([]byte(s.Name))
	return []string{
		s.rebootMark(),
		"mem=" + memory,
		fmt.Sprintf("ubd0=%s,%s", s.disk(), s.Image),
		"ubd1r=" + s.seed(),
		"root=/dev/ubda", "rw",
		"umid=" + s.Name, "uml_dir=" + filepath.Join(s.Dir, "uml"),
		"con=null", "con0=null,fd:1", "console=tty0", "TERM=dumb",
		fmt.Sprintf("vec0:transport=tap,ifname=%s,mac=%s", s.Tap, s.MAC),
		"systemd.hostname=" + s.Name,
		fmt.Sprintf("systemd.machine_id=%x", id[:16]),
	}
}

// prepare makes the machine's directory, with a new disk.
func (s spec) prepare(o Options, sshKey string) error {
	if err := os.RemoveAll(s.Dir); err != nil {
		return fmt.Errorf("removing the old disk of %s: %w", s.Name, err)
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return fmt.Errorf("making the directory of %s: %w", s.Name, err)
	}
	mark, err := files.ReadFile("files/reboot-mark.sh")
	if err != nil {
		return fmt.Errorf("reading the embedded files: %w", err)
	}
	if err := os.WriteFile(s.rebootMark(), mark, 0o755); err != nil {
		return fmt.Errorf("writing the reboot mark of %s: %w", s.Name, err)
	}
	content, err := s.seedFiles(o, sshKey)
	if err != nil {
		return err
	}
	var seed bytes.Buffer
	if err := writeTar(&seed, content); err != nil {
		return err
	}
	if err := os.WriteFile(s.seed(), seed.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing the seed of %s: %w", s.Name, err)
	}
	return nil
}

// seedFiles is what the machine unpacks over its root at every boot.
func (s spec) seedFiles(o Options, sshKey string) ([]tarFile, error) {
	publicKey, err := os.ReadFile(sshKey + ".pub")
	if err != nil {
		return nil, fmt.Errorf("reading the SSH key: %w", err)
	}
	var labels []string
	if o.Labels != nil {
		for key, value := range o.Labels(s.Name) {
			labels = append(labels, key+"="+value)
		}
	}
	slices.Sort(labels)
	environment := fmt.Sprintf("LAB_NAME=%s\nLAB_IP=%s\nLAB_ADDRESS=%s/24\nLAB_GATEWAY=%s\nLAB_PODS=%s\nLAB_LABELS=%s\n",
		s.Name, s.IP, s.IP, gateway, s.Pods, strings.Join(labels, ","))
	content := []tarFile{
		{"etc/lab/machine.env", 0o644, []byte(environment)},
		{"etc/lab/authorized_keys", 0o600, publicKey},
		{"etc/hostname", 0o644, []byte(s.Name + "\n")},
		{"etc/hosts", 0o644, fmt.Appendf(nil, "127.0.0.1 localhost\n%s %s\n", s.IP, s.Name)},
	}
	if o.NodeFiles == nil {
		return content, nil
	}
	kubeconfig, ca, cert, key, err := o.NodeFiles(s.Name)
	if err != nil {
		return nil, fmt.Errorf("making the credentials of %s: %w", s.Name, err)
	}
	return append(content,
		tarFile{"etc/kubernetes/kubeconfig", 0o600, kubeconfig},
		tarFile{"etc/kubernetes/ca.crt", 0o644, ca},
		tarFile{"etc/kubernetes/kubelet.crt", 0o644, cert},
		tarFile{"etc/kubernetes/kubelet.key", 0o600, key},
	), nil
}

package sentinel

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kballard/go-shellquote"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Preset is how one family of operating systems says that it wants a reboot. Files are the host's, below /var/run, which is
// what the agent sees of it.
type Preset struct {
	Name  string
	Files []string
	// Check has no Argvs where there is no command.
	Check Check
}

// Presets are all that there are.
func Presets() []Preset {
	// dnf gives 1 for its own errors too, and when the plugin is missing; what it says tells them from a yes.
	needsRestarting := Check{
		Argvs: [][]string{{"needs-restarting", "-r"}, {"dnf", "needs-restarting", "-r"}},
		Yes:   []int{1}, No: []int{0}, Says: "Reboot is required",
	}
	return []Preset{
		{Name: "debian", Files: []string{"/var/run/reboot-required"}},
		{Name: "rhel", Check: needsRestarting},
		{Name: "suse", Files: []string{"/var/run/reboot-needed"}, Check: Check{
			Argvs: [][]string{{"zypper", "needs-rebooting"}}, Yes: []int{102}, No: []int{0},
		}},
		// update_engine writes it when the new system is in place, since 3067.
		{Name: "flatcar", Files: []string{"/var/run/reboot-required"}},
		{Name: "amazon-linux", Check: needsRestarting},
	}
}

// PresetOf is the preset of this name.
func PresetOf(name string) (Preset, bool) {
	for _, p := range Presets() {
		if p.Name == name {
			return p, true
		}
	}
	return Preset{}, false
}

// Detect names the preset that fits an operating system, by its os-release.
func Detect(osRelease string) (string, error) {
	fields := parseOSRelease(osRelease)
	id := fields["ID"]
	// Amazon Linux and Flatcar say that they are like others, so they come first.
	families := []struct {
		name string
		ids  []string
	}{
		{"amazon-linux", []string{"amzn"}},
		{"flatcar", []string{"flatcar"}},
		{"debian", []string{"debian", "ubuntu"}},
		{"suse", []string{"suse", "opensuse", "sles", "sle-micro"}},
		{"rhel", []string{"rhel", "centos", "fedora"}},
	}
	for _, word := range append([]string{id}, strings.Fields(fields["ID_LIKE"])...) {
		for _, f := range families {
			if slices.Contains(f.ids, word) {
				return f.name, nil
			}
		}
	}
	if id == "" {
		return "", fmt.Errorf("its os-release has no ID")
	}
	return "", fmt.Errorf("the system %q is none that it knows", id)
}

// parseOSRelease reads lines such as ID="sles"; see os-release(5).
func parseOSRelease(text string) map[string]string {
	fields := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		words, err := shellquote.Split(value)
		if ok && err == nil {
			fields[key] = strings.Join(words, " ")
		}
	}
	return fields
}

// None stands where it isn't known what to look at: always unknown.
type None struct{ Why string }

// Look says why.
func (n None) Look(context.Context) plan.Wanted { return unknown(n.Why, []string{"nothing"}) }

package sentinel

import (
	"strings"
	"testing"
)

func TestDetect(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"ID=debian\nVERSION_ID=\"12\"\n", "debian"},
		{"NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n", "debian"},
		{"ID=linuxmint\nID_LIKE=\"ubuntu debian\"", "debian"},
		{"ID=\"rhel\"\nID_LIKE=\"fedora\"", "rhel"},
		{"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"", "rhel"},
		{"ID=\"ol\"\nID_LIKE=\"fedora\"", "rhel"},
		{"ID='centos'", "rhel"},
		{"ID=fedora", "rhel"},
		{"ID=\"sles\"\nID_LIKE=\"suse\"", "suse"},
		{"ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"", "suse"},
		{"ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"", "suse"},
		{"# a comment\n\nNAME=\"Flatcar Container Linux by Kinvolk\"\nID=flatcar\nID_LIKE=coreos\n", "flatcar"},
		{"ID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"", "amazon-linux"},
		{"ID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"", "amazon-linux"},
	} {
		if got, err := Detect(tt.text); got != tt.want || err != nil {
			t.Errorf("%q: got %q, %v", tt.text, got, err)
		}
		if p, ok := PresetOf(tt.want); !ok || len(p.Files)+len(p.Check.Argvs) == 0 || len(p.Check.Argvs) > 0 && (len(p.Check.Yes) == 0 || len(p.Check.No) == 0) {
			t.Errorf("preset %q is %+v", tt.want, p)
		}
	}
	for _, tt := range []struct{ text, says string }{
		{"", "has no ID"}, {"ID=", "has no ID"}, {"ID='arch", "has no ID"}, {"ID=arch\nBUILD_ID=rolling", `"arch" is none`}, {"ID=talos", `"talos"`},
	} {
		if got, err := Detect(tt.text); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q: got %q, %v", tt.text, got, err)
		}
	}
}

func FuzzDetect(f *testing.F) {
	f.Add("ID=debian\nID_LIKE=\"a b\"")
	f.Add("=\n'=\"\nID")
	f.Fuzz(func(t *testing.T, text string) {
		name, err := Detect(text)
		if _, ok := PresetOf(name); ok != (err == nil) {
			t.Errorf("got %q, %v", name, err)
		}
	})
}

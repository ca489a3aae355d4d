package takeover

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// What is secret stands in the values file, which is for the chart, and not in what one reads on a screen.
func TestSecretsAreNotShown(t *testing.T) {
	d := *readKured(t, "chart-5-strings")
	r := NewReport(Facts{Kureds: []appsv1.DaemonSet{d}, Meant: []appsv1.DaemonSet{d}}, "again")
	text, err := r.File()
	if err != nil || !strings.Contains(string(text), "123456789123456789123456") {
		t.Errorf("%v\n%s", err, text)
	}
	if strings.Contains(r.String(), "123456789123456789123456") || !strings.Contains(r.String(), "-o values shows it") {
		t.Errorf("%s", r)
	}
}

func TestNoFile(t *testing.T) {
	two := []appsv1.DaemonSet{set("kured", ""), set("kured-gpu", "")}
	for want, f := range map[string]Facts{
		"there is no DaemonSet of kured": {},
		"installed several times (DaemonSet kube-system/kured, DaemonSet kube-system/kured-gpu)": {Kureds: two, Meant: two},
		"is seen: you may not": {Unread: []string{"you may not"}},
	} {
		if _, err := NewReport(f, "").File(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if text := NewReport(Facts{Kureds: two, Meant: two}, "").String(); !strings.Contains(text, "say which with --kured-namespace") {
		t.Error(text)
	}
	if text := NewReport(Facts{Kureds: two, Meant: two[1:]}, "").String(); !strings.Contains(text, "dsName: kured-gpu") || strings.Count(text, "Remove kured,") != 2 {
		t.Error(text)
	}
}

// What others wrote can't play with the terminal, nor leave the comment that it stands in.
func TestNoEscapes(t *testing.T) {
	why := "\x1b[2Jgone\nnext"
	d := set("kured", `{"nodeID":"`+strings.ReplaceAll(strings.ReplaceAll(why, "\x1b", `\u001b`), "\n", `\n`)+`"}`, why, "--reboot-command="+why)
	d.Name = why
	n := some(cordonedBy(why), annotated)
	r := NewReport(Facts{Now: noon, Kureds: []appsv1.DaemonSet{d}, Meant: []appsv1.DaemonSet{d}, Nodes: []corev1.Node{n}, Unread: []string{why}}, "again")
	text, err := r.File()
	if err != nil || strings.ContainsAny(string(text), "\x1b\u009b") || strings.Contains(string(text), "\nnext") {
		t.Errorf("%v\n%q", err, text)
	}
	for _, said := range []string{r.String(), r.Remains()} {
		if strings.ContainsAny(said, "\x1b\u009b") || strings.Contains(said, "\nnext") {
			t.Errorf("%q", said)
		}
	}
}

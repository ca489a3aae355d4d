package kured

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// told is what a test says of settings: --flag=value|value (VARIABLE) open, doubt.
func told(all []Setting) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s=%s", s.Flag, strings.Join(s.Values, "|"))
		if s.Variable != "" {
			b.WriteString(" by " + s.Variable)
		}
		if s.From != nil {
			b.WriteString(" from elsewhere")
		}
		if len(s.Open) > 0 {
			b.WriteString(" open " + strings.Join(s.Open, ","))
		}
		if s.Doubt != "" {
			b.WriteString(" in doubt")
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func TestSettings(t *testing.T) {
	literal := func(name, value string) corev1.EnvVar { return corev1.EnvVar{Name: name, Value: value} }
	secret := func(name string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "k"}}}
	}
	for _, tt := range []struct {
		args    string // parted by spaces; _ stands for one
		env     []corev1.EnvVar
		want    string
		unknown string
	}{
		{args: ""},
		{args: "/usr/bin/kured --period=1h", want: "period=1h"},
		{args: "--period 1h --period=2h", want: "period=2h"},
		{args: "--force-reboot --period=1h --annotate-nodes=false", want: "force-reboot=true; period=1h; annotate-nodes=false"},
		{args: "--reboot-days=mo,tu --reboot-days we", want: "reboot-days=mo,tu|we"},
		{args: "--blocking-pod-selector=a=b,c=d --blocking-pod-selector=e", want: "blocking-pod-selector=a=b,c=d|e"},
		{args: "--reboot-command=/bin/systemctl_reboot", want: "reboot-command=/bin/systemctl reboot"},
		{args: `--notify-url="" --drain-pod-selector='' --slack-hook-url="x"`, want: `notify-url=; drain-pod-selector=; slack-hook-url="x"`},
		{args: "--v=2 -x --period=1h rest --", want: "period=1h", unknown: "--v=2 -x rest --"},
		{args: "--period", want: "period="},
		{args: "--period=$(P) --time-zone=$(Q) --end-time=$$(P)", env: []corev1.EnvVar{literal("P", "3h")}, want: "period=3h; time-zone=$(Q); end-time=$(P)"},
		{args: "--notify-url=slack://$(T)@$(C)", env: []corev1.EnvVar{secret("T"), literal("C", "ops")}, want: "notify-url=slack://$(T)@ops open T"},
		{args: "--notify-url=$(T)", env: []corev1.EnvVar{literal("T", "a$(U)")}, want: "notify-url=$(T) open T"},
		{env: []corev1.EnvVar{literal("KURED_PERIOD", "1h"), literal("PERIOD", "2h"), literal("KURED_TIME_ZONE", "")}, want: "period=1h by KURED_PERIOD"},
		{env: []corev1.EnvVar{secret("KURED_NOTIFY_URL")}, want: "notify-url= by KURED_NOTIFY_URL from elsewhere"},
		{env: []corev1.EnvVar{literal("KURED_SERVICE_PORT", "1")}, unknown: "KURED_SERVICE_PORT"},
		{args: "--period=1h", env: []corev1.EnvVar{literal("KURED_PERIOD", "2h")}, want: "period=2h by KURED_PERIOD in doubt"},
		{args: "--period=1h", env: []corev1.EnvVar{literal("KURED_PERIOD", "1h")}, want: "period=1h by KURED_PERIOD"},
		{args: "--period=1h", env: []corev1.EnvVar{literal("KURED_PERIOD", "")}, want: "period=1h"},
	} {
		args := strings.Fields(tt.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		for _, c := range []corev1.Container{{Command: args, Env: tt.env}, {Args: args, Env: tt.env}} {
			got, unknown := Settings(c)
			if told(got) != tt.want || strings.Join(unknown, " ") != tt.unknown {
				t.Errorf("%q: %s, unknown %q", tt.args, told(got), unknown)
			}
		}
	}
}

func FuzzSettings(f *testing.F) {
	f.Add("--period=$(A)\n--force-reboot\n--reboot-days\nmo", "KURED_PERIOD=$(B)\nA=1")
	f.Fuzz(func(t *testing.T, args, env string) {
		c := corev1.Container{Args: strings.Split(args, "\n")}
		for line := range strings.SplitSeq(env, "\n") {
			name, value, _ := strings.Cut(line, "=")
			c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
		}
		settings, _ := Settings(c)
		var seen []string
		for _, s := range settings {
			if _, ok := flags()[s.Flag]; !ok || slices.Contains(seen, s.Flag) || len(s.Values) == 0 {
				t.Errorf("%+v", settings)
			}
			seen = append(seen, s.Flag)
		}
	})
}

func TestStaleLocks(t *testing.T) {
	l, err := Parse(`{"maxOwners":3,"locks":[{"nodeID":"a","metadata":{"unschedulable":true},"created":"2026-01-01T00:00:00Z","TTL":0,"x":1},{"nodeID":"rebootd/b"},{"nodeID":"rebootd"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if !l.Entries[0].Metadata.Unschedulable || l.Entries[0].Manual() {
		t.Errorf("%+v", l.Entries[0])
	}
	var who []string
	left := l.Drop(func(e Entry) bool {
		node, ours := e.Rebootd()
		who = append(who, fmt.Sprint(node, ours))
		return ours
	})
	if !slices.Equal(who, []string{"false", "btrue", "true"}) {
		t.Errorf("%q", who)
	}
	if got := left.String(); got != `{"maxOwners":3,"locks":[{"nodeID":"a","metadata":{"unschedulable":true},"created":"2026-01-01T00:00:00Z","TTL":0,"x":1}]}` {
		t.Error(got)
	}
	if empty := left.Drop(func(Entry) bool { return true }); empty.String() != "" || !empty.Misread(1) || empty.Misread(2) || left.Misread(1) || (Lock{}).Misread(1) {
		t.Errorf("%q", empty.String())
	}
}

package integration

import (
	"strings"
	"testing"
)

// The values of kured's chart don't say where kured is, for that chart knows; and an agent sees only the DaemonSet that it is told of. So the
// chart looks.
func TestKuredElsewhere(t *testing.T) {
	t.Parallel()
	o := newTakeOver(t)
	render := func(args, refused string) {
		t.Helper()
		code, out := o.sh("helm install --dry-run=server "+args, "")
		switch {
		case refused == "" && code != 0:
			t.Errorf("%s: %s", args, out)
		case refused != "" && (code == 0 || !strings.Contains(out, refused)):
			t.Errorf("%s: exit code %d, not %q", args, code, refused)
		}
	}
	const plain = "rebootd charts/rebootd --namespace rebootd"
	o.installKured(1)
	render(plain, "")
	o.removeKured()
	o.must("kubectl create namespace ops")
	o.fleet.kured(t, "ops", 1)
	render(plain, "kured is installed as DaemonSet ops/kured, where rebootd doesn't look for it")
	render(plain+" --set extraArgs.period=5m", "set configuration.dsNamespace to ops and configuration.dsName to kured")
	render(plain+" --set configuration.dsNamespace=ops", "")
	render(plain+" --set extraArgs.ds-namespace=ops", "")
	render(plain+" --set configuration.dsName=", "")
	render(plain+" --set pools.a.configuration.dsNamespace=ops", "")
	render(plain+" --set pools.a.configuration.dsNamespace=ops --set pools.b.privileges=auto", "ops/kured")

	// The chart in the place of kured's, as an upgrade of its release.
	o.must("kubectl annotate daemonset -n ops kured meta.helm.sh/release-name=kured meta.helm.sh/release-namespace=ops")
	render("kured charts/rebootd --namespace ops", "")
	render("kured charts/rebootd --namespace other", "ops/kured")

	o.must("kubectl patch daemonset -n ops kured --type=json -p '" +
		`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"mirror:5000/kured-exporter:1"},{"op":"remove","path":"/spec/template/spec/containers/0/command"}]` + "'")
	render(plain, "")
}

// Agents whose slots are in several namespaces don't wait for each other, so who installs a second release is warned.
func TestRebootdElsewhere(t *testing.T) {
	t.Parallel()
	o := newTakeOver(t)
	o.must("kubectl create namespace second")
	o.must("kubectl create namespace rebootd")
	warned := func(want bool, args string) {
		t.Helper()
		const said = "DaemonSet rebootd/rebootd, and has its slots in the namespace rebootd"
		if out := o.must("helm install --dry-run=server " + args); strings.Contains(out, said) != want {
			t.Errorf("%s: want a warning: %v\n%s", args, want, out)
		}
	}
	const second = "two charts/rebootd --namespace second"
	warned(false, second)
	o.must("helm install rebootd charts/rebootd --namespace rebootd --set configuration.dryRun=true")
	warned(false, second)
	o.must("helm upgrade rebootd charts/rebootd --namespace rebootd --set configuration.dryRun=false")
	warned(true, second)
	warned(false, second+" --set configuration.dryRun=true")
	warned(false, second+" --set configuration.namespace=rebootd")
	warned(false, "two charts/rebootd --namespace rebootd")
	o.must("helm upgrade rebootd charts/rebootd --namespace rebootd --set configuration.namespace=second")
	warned(false, second)
}

package takeover

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/rebootd/rebootd/pkg/kured"
)

// Report is all that there is to say.
type Report struct {
	Facts
	Leftovers

	// Values are those of the one kured that there is; nil if there is none, or several.
	Values *Values
	// Again is the command, with the flags that it was given.
	Again string
}

// NewReport works it all out.
func NewReport(f Facts, again string) Report {
	r := Report{Facts: f, Leftovers: NewLeftovers(f), Again: again}
	if len(f.Meant) == 1 {
		r.Values = NewValues(&f.Meant[0], f.Namespace())
	}
	return r
}

// File is the values file. It is nil and an error if there is no kured, or several.
func (r Report) File() ([]byte, error) {
	switch {
	case len(r.Meant) > 1:
		return nil, fmt.Errorf("kured is installed several times (%s): say which with --kured-namespace and --kured-name", places(r.Meant))
	case r.Values == nil && len(r.Unread) > 0:
		return nil, fmt.Errorf("no DaemonSet of kured is seen: %s", r.Unread[0])
	case r.Values == nil:
		return nil, errors.New("there is no DaemonSet of kured; where it has another name: --kured-namespace and --kured-name")
	}
	d := r.Meant[0]
	var b strings.Builder
	fmt.Fprintf(&b, "# Values of rebootd's chart, made of kured's DaemonSet %s (%s).\n", clean(place(&d)), clean(version(&d)))
	for _, s := range r.Values.Steps {
		fmt.Fprintf(&b, "# To see to: %s\n", clean(s.Text))
		if s.Command != "" {
			fmt.Fprintf(&b, "#   %s\n", clean(s.Command))
		}
	}
	text, err := yaml.Marshal(r.Values.All)
	return append([]byte(b.String()), text...), err
}

func version(d *appsv1.DaemonSet) string {
	if v := kured.Version(d); v != "" {
		return "version " + v
	}
	return "its image says no version"
}

// clean keeps what others wrote from playing with the terminal, or breaking out of a comment.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// page is text under construction.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) {
	p.WriteString(clean(fmt.Sprintf(format, args...)) + "\n")
}

func (p *page) list(title string, items []string) {
	if len(items) == 0 {
		return
	}
	p.line("")
	p.line("%s", title)
	for _, i := range items {
		p.line("  - %s", i)
	}
}

func (p *page) steps(title string, steps []Step) {
	if len(steps) == 0 {
		return
	}
	p.line("")
	p.line("%s", title)
	for _, s := range steps {
		p.line("  - %s", s.Text)
		if s.Command != "" {
			p.line("      %s", s.Command)
		}
	}
}

// String is the report as a person reads it.
func (r Report) String() string {
	p := &page{}
	for i := range r.Kureds {
		p.line("%s", r.found(&r.Kureds[i]))
	}
	switch {
	case len(r.Kureds) == 0 && len(r.KuredPods) > 0:
		p.line("%s.", r.running())
	case len(r.Kureds) == 0 && r.Blind == "":
		p.line("kured isn't installed.")
	}
	for i := range r.Rebootds {
		p.line("rebootd is installed: DaemonSet %s, %s.", place(&r.Rebootds[i]), pods(&r.Rebootds[i]))
	}
	if len(r.Rebootds) == 0 {
		p.line("rebootd isn't seen to be installed.")
	}
	for _, u := range r.Unread {
		p.line("%s", u)
	}
	r.values(p)
	r.leftovers(p)
	p.steps("What is next:", r.next())
	return p.String()
}

func pods(d *appsv1.DaemonSet) string {
	return fmt.Sprintf("%d of %d pods ready", d.Status.NumberReady, d.Status.DesiredNumberScheduled)
}

// found is one kured and its lock.
func (r Report) found(d *appsv1.DaemonSet) string {
	text := fmt.Sprintf("kured is installed: DaemonSet %s, %s, %s", place(d), version(d), pods(d))
	lock, err := kured.Of(d, kured.LockKey(d))
	if err != nil {
		return text + "; its lock can't be read."
	}
	var holders []string
	for _, e := range lock.Entries {
		is := fmt.Sprintf("%s since %s", e.NodeID, stamp(e.Created))
		switch {
		case e.Manual():
			is = "a person (manual)"
		case e.Expired(r.Now):
			is += ", which has expired"
		case e.Metadata.Unschedulable:
			is += ", which was cordoned before and stays so"
		}
		holders = append(holders, is)
	}
	if len(holders) == 0 {
		return text + "; nobody holds its lock."
	}
	return text + "; its lock is held by " + strings.Join(holders, ", ") + "."
}

// Remains is the part about what kured left behind.
func (r Report) Remains() string {
	p := &page{}
	for _, u := range r.Unread {
		p.line("%s", u)
	}
	if why := r.running(); why != "" {
		p.line("%s, so no node is touched.", why)
	}
	r.leftovers(p)
	if len(r.Fixes) == 0 {
		p.steps("What is next:", r.next())
	}
	p.line("")
	return p.String()
}

func (r Report) values(p *page) {
	switch {
	case len(r.Meant) > 1:
		p.line("")
		p.line("kured is installed several times, so there are no values: say which with --kured-namespace and --kured-name. rebootd looks for one of them only " +
			"(--ds-namespace, --ds-name): remove the others before it works, or give each pool a rebootd with its own.")
	case r.Values != nil:
		shown := maps.Clone(r.Values.All)
		if c, ok := shown["configuration"].(map[string]any); ok {
			c = maps.Clone(c)
			for _, key := range r.Values.Secret {
				c[key] = "(secret: -o values shows it)"
			}
			shown["configuration"] = c
		}
		text, err := yaml.Marshal(shown)
		if err != nil {
			text = []byte(err.Error())
		}
		p.line("")
		p.line("Values for rebootd's chart (%s -o values > rebootd-values.yaml):", r.Again)
		p.line("")
		for l := range strings.Lines(string(text)) {
			p.line("    %s", strings.TrimSuffix(l, "\n"))
		}
		p.steps("With these values:", r.Values.Steps)
		p.list("What will differ (docs/migrating-from-kured.md):", r.Values.Differs())
	}
}

func (r Report) leftovers(p *page) {
	var fixes []string
	for _, f := range r.Fixes {
		fixes = append(fixes, fmt.Sprintf("%s: %s; %s", f.Name(), f.What, f.Why))
	}
	p.list("What --apply puts right:", fixes)
	p.list("What isn't touched, for now:", r.Busy)
	p.steps("What is left to you:", r.Steps)
	if len(r.Others) > 0 {
		p.list("Cordoned, but not by kured, so it stays:", r.Others)
	}
}

// next is what to do now, in order.
func (r Report) next() []Step {
	apply := Step{"Put right what kured left behind.", r.apply()}
	switch {
	case r.running() == "" && r.Blind != "":
		return []Step{{"Whether kured still runs can't be known: " + r.Blind + ". Ask somebody who may, or name kured with --kured-namespace and --kured-name.", ""}}
	case r.running() == "" && len(r.Fixes) > 0:
		return []Step{apply}
	case r.running() == "":
		return []Step{{"Nothing of kured's is left that could be put right.", ""}}
	case len(r.Kureds) == 0:
		return []Step{{"Wait until kured's pods are gone.", ""}, apply}
	}
	var steps []Step
	if len(r.Rebootds) == 0 {
		steps = append(steps, Step{"Install rebootd beside kured; it only watches until kured is gone.",
			"helm install rebootd charts/rebootd --namespace rebootd --create-namespace -f rebootd-values.yaml"})
	}
	if r.held() {
		steps = append(steps, Step{"Wait until no node holds kured's lock: what it has cordoned, it uncordons then.", r.Again})
	}
	for i := range r.Kureds {
		d := &r.Kureds[i]
		remove := fmt.Sprintf("kubectl delete daemonset -n %s %s", d.Namespace, d.Name)
		if release := d.Annotations["meta.helm.sh/release-name"]; release != "" {
			remove = fmt.Sprintf("helm uninstall -n %s %s", cmpOr(d.Annotations["meta.helm.sh/release-namespace"], d.Namespace), release)
		}
		steps = append(steps, Step{"Remove kured, with what you installed it from: its roles go with it then.", remove})
	}
	return append(steps, apply)
}

// apply is the command that puts right, with what can't be known any more when kured is gone.
func (r Report) apply() string {
	text := []string{r.Again}
	for _, key := range r.taints() {
		if key != kured.Taint && !slices.Contains(r.Taints, key) {
			text = append(text, "--kured-taint="+key)
		}
	}
	return strings.Join(append(text, "--apply"), " ")
}

// held reports whether a node of kured's is at work, as far as can be seen.
func (r Report) held() bool {
	for i := range r.Kureds {
		lock, err := kured.Of(&r.Kureds[i], kured.LockKey(&r.Kureds[i]))
		if err != nil || slices.ContainsFunc(lock.Entries, func(e kured.Entry) bool {
			return !e.Manual() && !e.Expired(r.Now) && r.stale(e) == ""
		}) {
			return true
		}
	}
	return false
}

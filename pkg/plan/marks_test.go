package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// carry applies changes to a Node as the API server would.
func (n *Node) carry(changes []Change) {
	n.Labels, n.Annotations = maps.Clone(n.Labels), maps.Clone(n.Annotations)
	for _, c := range changes {
		values := &n.Annotations
		if c.Kind == Label {
			values = &n.Labels
		}
		if c.Value == nil {
			delete(*values, c.Key)
			continue
		}
		if *values == nil {
			*values = map[string]string{}
		}
		(*values)[c.Key] = *c.Value
	}
}

func text(n Node) string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(n.Annotations)) {
		words = append(words, k+"="+n.Annotations[k])
	}
	for _, k := range slices.Sorted(maps.Keys(n.Labels)) {
		words = append(words, "label "+k+"="+n.Labels[k])
	}
	return strings.Join(words, " ")
}

// What was there before the cordon is there after the uncordon, whatever happens in between; what somebody changed is theirs.
func TestMarks(t *testing.T) {
	long := strings.Repeat("x", wasLimit+1)
	for _, tt := range []struct {
		name                  string
		before, between       map[string]string // annotations; in between, "" removes
		out, after            string
		labels                map[string]string
		policy, policyBetween []Mark
	}{
		{name: "nothing was there", out: "a=1 label l=rebootd", after: ""},
		{name: "another value", before: map[string]string{"a": "0"}, out: "a=1 label l=rebootd", after: "a=0"},
		{name: "an empty value", before: map[string]string{"a": ""}, out: "a=1 label l=rebootd", after: "a="},
		{name: "the same value", before: map[string]string{"a": "1"}, out: "a=1 label l=rebootd", after: "a=1"},
		{name: "too long to remember", before: map[string]string{"a": long}, out: "a=" + long + " label l=rebootd", after: "a=" + long},
		{name: "an empty label", labels: map[string]string{"l": ""}, out: "a=1 label l=rebootd", after: "label l="},
		{name: "left behind", labels: map[string]string{"l": "rebootd"}, out: "a=1 label l=rebootd", after: ""},
		{name: "changed", before: map[string]string{"a": "0"}, between: map[string]string{"a": "2"}, out: "a=1 label l=rebootd", after: "a=2"},
		{name: "removed", before: map[string]string{"a": "0"}, between: map[string]string{"a": ""}, out: "a=1 label l=rebootd", after: ""},
		{name: "others", before: map[string]string{"b": "3"}, between: map[string]string{"c": "4"}, out: "a=1 b=3 label l=rebootd", after: "b=3 c=4"},
		{name: "no longer configured", policyBetween: []Mark{}, out: "a=1 label l=rebootd", after: ""},
		{name: "configured in between", policy: []Mark{}, out: "", after: ""},
	} {
		for _, end := range []string{"rebooted", "given up"} {
			t.Run(tt.name+"/"+end, func(t *testing.T) {
				w := newWorld()
				w.wanted, w.podsStuck = Yes, true
				marks := []Mark{{Kind: Annotation, Key: "a", Value: "1"}, {Kind: Label, Key: "l", Value: own}}
				if w.policy.Marks = marks; tt.policy != nil {
					w.policy.Marks = tt.policy
				}
				w.node.Annotations, w.node.Labels = tt.before, tt.labels
				w.reach(t, Drain)
				if got := text(w.node); got != tt.out {
					t.Errorf("while it is out: %q, want %q", got, tt.out)
				}
				w.forget() // a restart, with another configuration
				if w.policy.Marks = marks; tt.policyBetween != nil {
					w.policy.Marks = tt.policyBetween
				}
				for k, v := range tt.between {
					if w.node.carry([]Change{{Annotation, k, &v}}); v == "" {
						delete(w.node.Annotations, k)
					}
				}
				w.node.Unschedulable = false // a person's; it is cordoned again
				w.turn(func(string) {})
				switch end {
				case "rebooted":
					w.podsStuck = false
					w.reach(t, Settle)
				default:
					w.lease = ""
					w.reach(t, Required)
				}
				r, _ := ParseRecord(w.record)
				if got := text(w.node); got != tt.after || len(r.Marks) != 0 || w.node.Unschedulable {
					t.Errorf("afterwards: %q, want %q; record %s", got, tt.after, r)
				}
			})
		}
	}
}

// reach runs until a phase.
func (w *world) reach(t *testing.T, p Phase) {
	t.Helper()
	if err := w.run("until", string(p), func(string) {}); err != nil {
		t.Fatal(err)
	}
}

// Without its record the label would keep the node from load balancers for ever, so it goes with the next write.
func TestMarkWithoutRecord(t *testing.T) {
	w := newWorld()
	w.policy.Marks = append(ForAutoscalers(), ForLoadBalancers())
	w.wanted, w.podsStuck = Yes, true
	w.reach(t, Drain)
	w.record, w.node.Unschedulable, w.wanted = "", false, No // as a person does who gives up on it
	w.reach(t, Idle)
	if got := text(w.node); strings.Contains(got, "label") || !strings.Contains(got, "scale-down-disabled=true") {
		t.Errorf("it carries %q", got)
	}
}

func TestRemoved(t *testing.T) {
	for _, tt := range []struct {
		taint Taint
		who   string
	}{
		{Taint{"ToBeDeletedByClusterAutoscaler", "1700000000"}, "the Cluster Autoscaler"},
		{Taint{"DeletionCandidateOfClusterAutoscaler", "1700000000"}, ""},
		{Taint{"karpenter.sh/disrupted", ""}, "Karpenter"},
		{Taint{"karpenter.sh/disruption", "disrupting"}, "Karpenter"},
		{Taint{"karpenter.sh/disruption", "candidate"}, ""},
		{Taint{"node.kubernetes.io/unschedulable", ""}, ""},
	} {
		if who, sign := Removed([]Taint{{"x", "y"}, tt.taint}); who != tt.who || (sign == "") != (who == "") {
			t.Errorf("%v: %q, %q", tt.taint, who, sign)
		}
	}
}

// The delay for the load balancers counts from the cordon, not from a restart, and not against the drain's timeout.
func TestLoadBalancerDelay(t *testing.T) {
	p := newWorld().policy
	p.LoadBalancerDelay = 10 * time.Minute
	o := situationOf(Drain, nil, nil)
	o.Node.Unschedulable, o.Record.Cordon = true, CordonOurs
	o.Wanted = Wanted{Answer: Yes, Reason: RebootRequired, Message: "A file asks."}
	o.Slot = Slot{Held: true, Name: "rebootd-default-0", LeaseUID: "lease"}
	for _, tt := range []struct {
		after time.Duration
		do    Do
		says  string
	}{
		{0, DoWait, "waiting for the load balancers"},
		{10*time.Minute - time.Second, DoWait, "waiting for the load balancers"},
		{10 * time.Minute, DoDrain, "evicting"},
		{40*time.Minute - time.Second, DoDrain, "evicting"},
		{40 * time.Minute, DoWrite, "did not end within 30m0s"},
	} {
		now := o.Record.Since.Add(tt.after)
		a := Decide(o, p, now)
		if a.Do == DoWrite && a.Record.Phase == Drain { // told first
			o.Node.Told = Told{a.Reason, a.Message, now}
			a = Decide(o, p, now)
		}
		if a.Do != tt.do || !strings.Contains(a.Message, tt.says) || tt.do == DoWait && a.Again != 10*time.Minute-tt.after {
			t.Errorf("%s after the cordon: %+v", tt.after, a)
		}
	}
}

// judgeMarks: they come with the cordon and go with the first write that ends being out.
func judgeMarks(o Observation, a Action) []string {
	var want int
	switch was, r := o.Record.Marks, a.Record; {
	case a.Do == DoCordon:
		want = 3 - len(was)
		if len(r.Marks) != 3 || len(was) > 0 && r.Marks[0] != was[0] {
			return []string{fmt.Sprintf("cordons with marks %+v", r.Marks)}
		}
	case a.Do != DoWrite && a.Do != DoUncordon:
	case r.Out():
		if !slices.Equal(r.Marks, was) {
			return []string{"forgets its marks"}
		}
	default:
		want = len(was)
		if len(r.Marks) > 0 || want > 0 && len(a.Marks) == want && *a.Marks[0].Value != *was[0].Was {
			return []string{"does not put back what its marks replaced"}
		}
	}
	if len(a.Marks) != want {
		return []string{fmt.Sprintf("changes marks: %+v", a.Marks)}
	}
	return nil
}

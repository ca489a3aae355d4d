package agent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

func soft(m *sim.Machine) string {
	var keys []string
	for _, t := range m.Node().Spec.Taints {
		if t.Effect == corev1.TaintEffectPreferNoSchedule {
			keys = append(keys, t.Key)
		}
	}
	return strings.Join(keys, " ")
}

// The taint is on as long as the reboot is wanted and the node waits, whatever agents come and go, and leaves nothing behind.
func TestTaintOnTheNode(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.Gate = plan.Verdict{Gate: "hold", Reason: plan.Held, Message: "Held."}
		m.Policy.Taint = "example.com/old"
		m.Patch(`{"spec":{"taints":[{"key":"example.com/theirs","effect":"PreferNoSchedule"}]}}`)
		p := m.Start()
		m.Until("tainted", time.Minute, func() bool { return soft(m) == "example.com/theirs example.com/old" })
		m.Pass(time.Hour)
		before := p.Client.Count("")
		m.Pass(24 * time.Hour)
		if n := p.Client.Count(""); n != before {
			t.Errorf("%d requests in a day of waiting with a taint", n-before)
		}
		p.Stop()
		m.Policy.Taint = plan.DefaultTaint
		go m.Live(ctx)
		m.Until("tainted by the new key", time.Minute, func() bool { return soft(m) == "example.com/theirs rebootd.io/reboot-required" })
		m.Patch(`{"spec":{"taints":null}}`)
		m.Until("on again after a person took it off", time.Minute, func() bool { return soft(m) == plan.DefaultTaint })
		m.Set(func() { m.Gate = plan.Verdict{Gate: "hold", Open: true} })
		m.Back(1)
		m.Until("off", time.Minute, func() bool { return soft(m) == "" })
		if m.Record().Taint != "" {
			t.Errorf("record %s", m.Record())
		}
	})
}

// A taint that can't be written holds the reboot back and is told; but a node that is out comes back, and gives its slot back, without it.
func TestTaintThatIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.Policy.Taint = plan.DefaultTaint
		refused := true
		m.Parts = func(_ *sim.Process, p *agent.Parts) {
			p.Writer.Nodes = untaintable{p.Writer.Nodes, func() (yes bool) {
				m.Set(func() { yes = refused })
				return yes
			}}
		}
		go m.Live(ctx)
		m.Until("it says so", 10*time.Minute, func() bool {
			return m.Told().Reason == string(plan.GateError) && strings.Contains(m.Told().Message, "The next step (taint) fails") &&
				strings.Contains(m.Told().Message, "A reboot is wanted since 20")
		})
		m.Set(func() { refused = false })
		m.Reaches(plan.Drain)
		m.Set(func() { refused = true })
		m.Back(1) // and the slot is free
		m.Until("it says so again", 10*time.Minute, func() bool { return strings.Contains(m.Told().Message, "The next step (taint) fails") })
		m.Set(func() { refused = false })
		m.Until("off in the end", time.Minute, func() bool { return soft(m) == "" })
	})
}

// untaintable refuses every change of taints.
type untaintable struct {
	node.Nodes
	refuses func() bool
}

func (u untaintable) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*corev1.Node, error) {
	if strings.Contains(string(data), `"taints"`) && u.refuses() {
		return nil, apierrors.NewForbidden(sim.NodeKind, name, errors.New("no taints here"))
	}
	return u.Nodes.Patch(ctx, name, pt, data, o, sub...)
}

func TestDryRunGoesOnPastTheTaint(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		m.DryRun, m.Policy.Taint = true, plan.DefaultTaint
		go m.Live(ctx)
		m.Until("the whole way is told", time.Minute, func() bool { return strings.Contains(m.Logged(), "Would now take a slot") })
		m.Pass(time.Hour)
		if soft(m) != "" || strings.Count(m.Logged(), "\n") > 10 {
			t.Errorf("tainted %q\n%s", soft(m), m.Logged())
		}
	})
}

package agent_test

import (
	"context"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// A step that fails for long is told on the Node, once, and no longer when it works.
func TestTroubleIsTold(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		m, began := sim.NewMachine(t, sim.NewServer(), "worker"), time.Now()
		m.Meddle = func(_ *sim.Process, c sim.Call) sim.Outcome {
			if c.Verb == "delete" && time.Since(began) < time.Hour {
				return sim.Outcome{Before: apierrors.NewForbidden(c.Kind, c.Name, nil)}
			}
			return sim.Outcome{}
		}
		go m.Live(ctx)
		m.Pass(10 * time.Minute)
		c := m.Told()
		if c.Reason != string(plan.GateError) || !strings.Contains(c.Message, "(free) fails") || !strings.Contains(c.Message, "forbidden") {
			t.Errorf("%+v", c)
		}
		version := m.Node().ResourceVersion
		m.Pass(10 * time.Minute)
		if now := m.Node().ResourceVersion; now != version {
			t.Errorf("the Node was written again: version %s, then %s", version, now)
		}
		m.Pass(time.Hour)
		if c := m.Told(); c.Reason == string(plan.GateError) || m.Lease() != nil {
			t.Errorf("%+v, lease %v", c, m.Lease())
		}
	})
}

// That a request of an agent that is stopped comes to nothing, as in every reboot, is no trouble, and nobody is warned of it.
func TestStopIsNoTrouble(t *testing.T) {
	inBubble(t, func(t *testing.T, _ context.Context) {
		m := sim.NewMachine(t, sim.NewServer(), "worker")
		cut := false
		m.Meddle = func(_ *sim.Process, c sim.Call) sim.Outcome {
			if c.Verb != "patch" || m.Record().Phase != plan.Rebooting {
				return sim.Outcome{}
			}
			m.Set(func() { cut = true })
			return sim.Outcome{Arrives: time.Hour}
		}
		p := m.Start()
		m.Until("a request is under way", 10*time.Minute, func() (on bool) { m.Set(func() { on = cut }); return on })
		p.Stop()
		if said := m.Logged(); strings.Contains(said, "canceled") || strings.Contains(said, "tried again") {
			t.Error(said)
		}
	})
}

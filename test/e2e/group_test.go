//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/cluster/machine"
)

// TestAllAtOnce: all nodes ask for a reboot at once. Each gets exactly one, they go one after another, the workload
// never notices, and whoever looks sees what goes on. All is as the chart sets it.
func TestAllAtOnce(t *testing.T) {
	s := begin(t, machines)
	w := s.workload(3, 1, "")
	least := w.leastAvailable()
	before := map[string]string{}
	for _, n := range s.nodes {
		before[n.Name()] = n.bootID()
	}
	err := lab.each([]string{"node1", "node2", "node3"}, func(m *machine.Machine) error {
		_, err := m.Exec(t.Context(), "touch "+sentinel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	turns := s.turns()
	slices.Sort(turns)
	if want := []string{"node1", "node2", "node3"}; !slices.Equal(turns, want) {
		t.Errorf("the slot was held by %v, want each of %v once", turns, want)
	}
	for _, n := range s.nodes {
		last := n.rebootedOnce(before[n.Name()])
		if !last.Ours || !last.Cleared {
			t.Errorf("%s: the history has %+v", n.Name(), last)
		}
		if seen := boots(s.story(), n.Name()); len(seen) != 2 {
			t.Errorf("%s: the kubelet reported the boots %v, want two", n.Name(), seen)
		}
	}
	s.oneAtATime()
	if n := least(); n < 2 {
		t.Errorf("of 3 pods with a budget of 1 only %d were available", n)
	}
	s.described()
	s.logs()
}

// turns follows the slot from the first holder to the last. At every moment `kubectl get leases` has to show exactly
// the node that is out.
func (s *scene) turns() []string {
	s.t.Helper()
	var holders []string
	last := ""
	for len(holders) < len(s.nodes) {
		eventually(s.t, reboot, fmt.Sprintf("the slot goes to the next after %v", holders), func(ctx context.Context) error {
			leases, err := lab.leases(ctx, s.name)
			switch {
			case err != nil:
				return err
			case len(leases) != 1:
				return fmt.Errorf("%d slots are held", len(leases))
			case string(leases[0].UID) == last:
				return errors.New("it is still held by " + holder(leases[0]))
			}
			last = string(leases[0].UID)
			holders = append(holders, holder(leases[0]))
			return nil
		})
		now := holders[len(holders)-1]
		s.t.Logf("it is the turn of %s", now)
		n := s.node(now)
		n.eventually(quick, "is cordoned", func(seen *corev1.Node) error {
			if !seen.Spec.Unschedulable {
				return errors.New(summary(seen))
			}
			return nil
		})
		out, err := lab.kubectl(s.t.Context(), nil, "get", "leases", "-n", s.name, "--no-headers")
		if rows := strings.Fields(out); err != nil || len(rows) != 3 || rows[1] != now {
			s.t.Errorf("while %s is out, kubectl get leases shows %q, %v", now, out, err)
		}
	}
	return holders
}

func (s *scene) node(name string) *node {
	s.t.Helper()
	for _, n := range s.nodes {
		if n.Name() == name {
			return n
		}
	}
	s.t.Fatalf("%s is no node of this test", name)
	return nil
}

// described checks that `kubectl describe node` tells the whole story.
func (s *scene) described() {
	s.t.Helper()
	for i, n := range s.nodes {
		out, err := lab.kubectl(s.t.Context(), nil, "describe", "node", n.Name())
		if err != nil {
			s.t.Error(err)
			continue
		}
		if !regexp.MustCompile(`RebootRequired +False `).MatchString(out) {
			s.t.Errorf("kubectl describe node %s doesn't have the condition", n.Name())
		}
		for _, want := range []string{
			"Rebooted and in service again", string(plan.RebootRequired), string(plan.SlotTaken),
			string(plan.Draining), string(plan.RebootIssued), string(plan.RebootSucceeded), string(plan.Uncordoned),
		} {
			if !strings.Contains(out, want) {
				s.t.Errorf("kubectl describe node %s doesn't say %q", n.Name(), want)
			}
		}
		if i == 0 || s.t.Failed() {
			s.t.Logf("kubectl describe node %s:\n%s", n.Name(), out)
		}
	}
}

// logs checks that `kubectl logs` has the agent's log.
func (s *scene) logs() {
	s.t.Helper()
	n := s.nodes[0]
	pod, err := lab.agentPod(s.t.Context(), s.name, n.Name())
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := lab.kubectl(s.t.Context(), nil, "logs", "-n", s.name, pod.Name)
	if err != nil || !strings.Contains(out, string(plan.RebootSucceeded)) {
		s.t.Errorf("kubectl logs of the agent on %s: %v\n%s", n.Name(), err, out)
	}
}

// TestSlowToComeBack: a machine stays away for so long that the control plane gives its node up. It keeps its slot all
// the same, and the next node waits.
func TestSlowToComeBack(t *testing.T) {
	t.Parallel()
	s := begin(t, 2, swift...)
	slow, next := s.nodes[0], s.nodes[1]
	before, nextBefore := slow.bootID(), next.bootID()
	if err := slow.NextBoot(40*time.Second, false); err != nil { // the control plane's patience ends after 20 s
		t.Fatal(err)
	}
	slow.require()
	slow.reaches(plan.Rebooting, quick)
	next.require()
	next.says(plan.WaitingForSlot)
	slow.eventually(quick, "is given up by the control plane", func(seen *corev1.Node) error {
		if c := condition(seen, corev1.NodeReady); c.Status != corev1.ConditionUnknown {
			return fmt.Errorf("it is ready: %s", c.Status)
		}
		return nil
	})
	// The last moment at which all of it must hold is just before the slow one is back.
	slow.eventually(reboot, "is ready again", func(seen *corev1.Node) error {
		if condition(seen, corev1.NodeReady).Status == corev1.ConditionTrue {
			return nil
		}
		other := next.now()
		if c := condition(other, conditionType); other.Spec.Unschedulable || c.Reason != string(plan.WaitingForSlot) {
			t.Errorf("while %s was away, %s did not wait: %s", slow.Name(), next.Name(), summary(other))
		}
		if _, err := slow.lease(t.Context(), s.name); err != nil {
			t.Error(err)
		}
		return errors.New("it isn't")
	})
	slow.rebootedOnce(before)
	next.rebootedOnce(nextBefore)
	s.oneAtATime()
}

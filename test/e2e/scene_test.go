//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

const (
	settleTimeout = 90 * time.Second
	cleanTimeout  = 2 * time.Minute
)

// scene is a test's share of the cluster: some nodes, and agents on them that have a lock group to themselves.
type scene struct {
	t     *testing.T
	name  string // of the release, its namespace and its lock group
	dir   string // for files
	nodes []*node
	mark  int // where the observer was when it began
	undo  []func(context.Context) error
}

// begin takes nodes and installs agents on them. The arguments are flags of theirs. Nothing must be left on the nodes from before.
func begin(t *testing.T, nodes int, args ...string) *scene {
	t.Helper()
	return beginOn(t, lab.pool.take(nodes, long[t.Name()]), args...)
}

// long has how many seconds tests take about, if that is long.
var long = map[string]int{ //nolint:gochecknoglobals // a constant
	"TestHelm": 200, "TestPowerCutOnTheWayBack": 190, "TestHeldBack": 170, "TestNotReadyAfterReboot": 160, "TestNodeDeleted": 100,
}

// beginOn is begin on nodes that were taken already.
func beginOn(t *testing.T, names []string, args ...string) *scene {
	t.Helper()
	s := &scene{t: t, name: strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), dir: t.TempDir()}
	for _, name := range names {
		m, err := lab.Machines.Machine(name)
		if err != nil {
			t.Fatal(err)
		}
		s.nodes = append(s.nodes, &node{Machine: m, t: t})
	}
	began := time.Now()
	t.Cleanup(func() {
		s.end()
		lab.pool.give(names)
		t.Logf("it had %v for %s", names, time.Since(began).Round(time.Second))
	})
	if left := s.left(t.Context()); left != nil {
		t.Fatalf("an earlier test left the cluster unsettled: %v", left)
	}
	s.mark = lab.seen.mark()
	if err := s.install(t.Context(), lab.values(s.name, names, args)); err != nil {
		t.Fatalf("installing the agents: %v", err)
	}
	s.later(func(ctx context.Context) error {
		// Without the clean-up, which would bring into service what a failed agent left out of it.
		_, err := s.helm(ctx, "uninstall", "--no-hooks", "--ignore-not-found")
		return err
	})
	s.agentsReady()
	t.Logf("the agents on %v are ready", names)
	return s
}

// agentsReady waits until there are agents, and they have looked at their nodes.
func (s *scene) agentsReady() {
	s.t.Helper()
	for _, n := range s.nodes {
		eventually(s.t, 2*time.Minute, "the agent is ready", func(ctx context.Context) error {
			_, err := lab.agentPod(ctx, s.name, n.Name())
			return err
		})
		n.reaches(plan.Idle, quick)
	}
}

// later has something undone when the scene ends; the last goes first.
func (s *scene) later(undo func(context.Context) error) {
	s.undo = append([]func(context.Context) error{undo}, s.undo...)
}

// end waits until the scene's nodes are back in service, keeps what could tell why a test failed, and clears up.
func (s *scene) end() {
	if !s.t.Failed() {
		s.settled()
	}
	if s.t.Failed() {
		s.keep()
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	for _, undo := range s.undo {
		if err := undo(ctx); err != nil {
			s.t.Errorf("clearing up: %v", err)
		}
	}
	s.podsGone(ctx)
}

// settled fails the test unless all its nodes come to rest in service, with nothing left of the test.
func (s *scene) settled() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	for {
		left := s.left(ctx)
		if left == nil {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Errorf("not settled within %s: %v", settleTimeout, left)
			return
		case <-time.After(pollEvery):
		}
	}
}

// left is what is not as it was in the beginning: each node in service and idle, no slot, no sentinel.
func (s *scene) left(ctx context.Context) error {
	var left []error
	leases, err := lab.leases(ctx, "")
	left = append(left, err)
	for _, n := range s.nodes {
		for _, l := range leases {
			if holder(l) == n.Name() {
				left = append(left, fmt.Errorf("%s holds slot %s", n.Name(), l.Name))
			}
		}
		seen, err := n.get(ctx)
		if err != nil {
			left = append(left, err)
			continue
		}
		left = append(left, unsettled(seen))
		result, err := n.Exec(ctx, "test ! -e "+sentinel)
		if err == nil && result.ExitCode != 0 {
			err = fmt.Errorf("%s has a sentinel", n.Name())
		}
		left = append(left, err)
	}
	return errors.Join(left...)
}

func unsettled(n *corev1.Node) error {
	r, err := recordOf(n)
	switch {
	case err != nil:
		return err
	case r.Phase != plan.Idle && r.Phase != "", n.Spec.Unschedulable, condition(n, corev1.NodeReady).Status != corev1.ConditionTrue:
		return fmt.Errorf("%s is not in service: %s", n.Name, summary(n))
	case n.Labels[requiredLabel] != "":
		return fmt.Errorf("%s has label %s", n.Name, requiredLabel)
	}
	return nil
}

// podsGone waits until no pod of the scene is left, so that the next test has its nodes to itself.
func (s *scene) podsGone(ctx context.Context) {
	for {
		pods, err := lab.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: sceneLabel + "=" + s.name})
		if err == nil && len(pods.Items) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Errorf("pods of the test are still there: %v", err)
			return
		case <-time.After(pollEvery):
		}
	}
}

// story is what the observer saw of the scene's nodes since it began.
func (s *scene) story() []sight {
	names := make([]string, 0, len(s.nodes))
	for _, n := range s.nodes {
		names = append(names, n.Name())
	}
	return lab.seen.since(s.mark, names)
}

// oneAtATime checks that never more than one of the scene's nodes was out of service.
func (s *scene) oneAtATime() {
	s.t.Helper()
	seen := s.story()
	s.t.Logf("what became of the nodes:\n%s", story(seen))
	if most := mostOut(seen); most != 1 {
		s.t.Errorf("%d nodes were out of service at once, want 1", most)
	}
}

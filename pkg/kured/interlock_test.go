package kured

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	peer "github.com/rebootd/rebootd/test/kured"
)

func lock(s *peer.Server, gone ...string) (*Interlock, *peer.Client) {
	c := &peer.Client{Server: s}
	now := noon()
	return &Interlock{
		DaemonSets: c, Namespace: "kube-system", Name: "kured", Annotation: peer.Annotation, Node: "me",
		Gone: func(_ context.Context, node string) (bool, error) {
			if node == "unreadable" {
				return false, errors.New("no answer")
			}
			return strings.Contains(strings.Join(gone, " "), node), nil
		},
		Now: func() time.Time { now = now.Add(time.Second); return now },
	}, c
}

func sure() error { return nil }

func TestNoKured(t *testing.T) {
	i, _ := lock(&peer.Server{})
	if err := errors.Join(i.Take(t.Context(), 1), i.Release(t.Context(), sure)); err != nil {
		t.Error(err)
	}
}

// What this process hasn't written, or may have asked to be taken out, is written anew, so that a request that is still on its way
// comes too late.
func TestEntryIsWrittenAnew(t *testing.T) {
	s := &peer.Server{}
	s.Install()
	earlier, _ := lock(s)
	if err := earlier.Take(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	first := s.Text()
	if err := earlier.Take(t.Context(), 1); err != nil || s.Text() != first {
		t.Errorf("looked after: %v, %s", err, s.Text())
	}
	i, c := lock(s)
	i.Now = func() time.Time { return noon().Add(time.Hour) }
	if err := i.Take(t.Context(), 1); err != nil || s.Text() == first {
		t.Errorf("of an earlier process: %v, %s", err, s.Text())
	}
	second := s.Text()
	c.Before = func() error { return errors.New("the request is late") }
	if err := i.Release(t.Context(), sure); err == nil || s.Text() != second {
		t.Errorf("%v, %s", err, s.Text())
	}
	c.Before = nil
	i.Now = func() time.Time { return noon().Add(2 * time.Hour) }
	if err := i.Take(t.Context(), 1); err != nil || s.Text() == second {
		t.Errorf("after a release that may come yet: %v, %s", err, s.Text())
	}
}

func TestReleaseIsConfirmed(t *testing.T) {
	s := &peer.Server{}
	s.Install()
	i, _ := lock(s)
	if err := i.Take(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := i.Release(t.Context(), func() error { return errors.New("another agent works") }); err == nil || s.Text() == "" {
		t.Errorf("%v, %q", err, s.Text())
	}
	if err := i.Release(t.Context(), sure); err != nil || s.Text() != "" {
		t.Errorf("%v, %q", err, s.Text())
	}
}

// Nobody would ever release the lock for a node that is gone. One that can't be looked for isn't gone.
func TestNodesThatAreGone(t *testing.T) {
	s := &peer.Server{}
	s.Install("--concurrency=2")
	i, c := lock(s, "old")
	s.Write(`{"maxOwners":2,"locks":[{"nodeID":"rebootd/old"},{"nodeID":"rebootd/there"}]}`)
	if err := i.Take(t.Context(), 2); err != nil || strings.Contains(s.Text(), "old") || !strings.Contains(s.Text(), "there") {
		t.Errorf("%v, %s", err, s.Text())
	}
	for _, text := range []string{`{"nodeID":"rebootd/there"}`, `{"nodeID":"rebootd/unreadable"}`, `{"nodeID":"old"}`} {
		i, _ = lock(s, "old")
		s.Write(text)
		if err := i.Take(t.Context(), 1); err == nil || s.Text() != text {
			t.Errorf("%s: %v, %s", text, err, s.Text())
		}
	}
	if c.Calls > 10 {
		t.Errorf("%d calls", c.Calls)
	}
}

// Somebody who writes in between, kured or the DaemonSet's controller, is no error until that goes on and on.
func TestOthersWriteInBetween(t *testing.T) {
	s := &peer.Server{}
	s.Install()
	i, _ := lock(s)
	meddle := &meddling{Client: &peer.Client{Server: s}, times: 3}
	i.DaemonSets = meddle
	if err := i.Take(t.Context(), 1); err != nil {
		t.Error(err)
	}
	meddle.times = 3
	if err := i.Release(t.Context(), sure); err != nil || s.Text() != "" {
		t.Errorf("%v, %s", err, s.Text())
	}
	meddle.times = 1000
	if err := i.Take(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "all the time") {
		t.Error(err)
	}
	meddle.times, meddle.lock = 1, `{"nodeID":"n1"}`
	if err := i.Take(t.Context(), 1); !errors.As(err, new(*TakenError)) {
		t.Errorf("kured was quicker: %v", err)
	}
}

// meddling changes the DaemonSet between each read and write, so many times.
type meddling struct {
	*peer.Client
	times int
	lock  string
}

func (m *meddling) Get(ctx context.Context, name string, o metav1.GetOptions) (*appsv1.DaemonSet, error) {
	d, err := m.Client.Get(ctx, name, o)
	if m.times--; m.times >= 0 {
		m.Change(func(d *appsv1.DaemonSet) { d.Status.NumberReady++ })
		if m.lock != "" {
			m.Write(m.lock)
		}
	}
	return d, err
}

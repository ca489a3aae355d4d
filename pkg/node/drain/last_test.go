package drain

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func labelled(p *corev1.Pod) { p.Labels = map[string]string{"role": "storage"} }

// No pod of the second round is touched while one of the first is there: slow, refused, or late.
func TestLastPodsComeLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, blocked := newPod("web", grace(20)), newPod("blocked")
		late := newPod("late")
		disks := []*corev1.Pod{newPod("disk-a", labelled), newPod("disk-b", labelled, grace(30))}
		s := newServer(t, append(disks, web, blocked)...)
		s.refuse = func(p *corev1.Pod, nth int) *http.Response {
			if p.Name == "blocked" && nth < 10 {
				return blockedBy("budget")
			}
			return nil
		}
		time.AfterFunc(30*time.Second, func() { s.put(late) })
		var rounds []int
		first, second := "", ""
		err := s.drainer(Options{GracePeriodSeconds: -1, LastSelector: "role=storage"}).Drain(t.Context(), Evict, func(p Progress) {
			if len(rounds) == 0 || rounds[len(rounds)-1] != p.Round {
				rounds = append(rounds, p.Round)
			}
			for _, o := range p.Obstacles {
				if p.Round == 1 {
					first += o.String() + "\n"
				} else {
					second += o.String() + "\n"
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(rounds) != 2 || rounds[0] != 1 || rounds[1] != 2 || !strings.Contains(first, "disk-a: comes last") || strings.Contains(second, "blocked") {
			t.Errorf("rounds %v; in the first:\n%s\nin the second:\n%s", rounds, first, second)
		}
		end := 0
		for _, p := range []*corev1.Pod{web, blocked, late} {
			tried := s.tried(p)
			end = max(end, tried[len(tried)-1])
		}
		for _, p := range disks {
			if tried := s.tried(p); len(tried) != 1 || tried[0] < end || tried[0] < 45 {
				t.Errorf("%s tried at %v, the last of the others at %d", p.Name, tried, end)
			}
		}
	})
}

func TestOnlyLastPods(t *testing.T) {
	for name, selector := range map[string]string{"all come last": "role=storage", "none does": "role=other"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newPod("disk", labelled)
				s := newServer(t, disk)
				var last Progress
				err := s.drainer(Options{GracePeriodSeconds: -1, LastSelector: selector}).Drain(t.Context(), Evict, func(p Progress) { last = p })
				want := map[string]int{"role=storage": 2}[selector]
				if err != nil || len(s.tried(disk)) != 1 || last.Round != want || last.Gone != 1 || last.Last != 0 {
					t.Errorf("%v, tried at %v, %+v", err, s.tried(disk), last)
				}
			})
		})
	}
}

func TestBadLastSelector(t *testing.T) {
	s := newServer(t)
	if err := s.drainer(Options{LastSelector: "a in"}).Drain(t.Context(), Evict, nil); err == nil || !strings.Contains(err.Error(), "drain last selector") {
		t.Errorf("got %v", err)
	}
}

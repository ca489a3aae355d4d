package drain

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What an eviction is answered decides when it is tried again and what the drain says.
func TestRefusedEvictions(t *testing.T) {
	busy := func(seconds string) *http.Response { // as API priority and fairness says it
		resp := answer(429, nil)
		resp.Header = http.Header{"Content-Type": {"text/plain"}}
		resp.Header.Set("Retry-After", seconds)
		resp.Body = io.NopCloser(strings.NewReader("Too many requests, please try again later."))
		return resp
	}
	tests := []struct {
		name   string
		answer func() *http.Response
		tried  []int // in 61 s
		reason Reason
		text   string
	}{
		{"budget", func() *http.Response { return blockedBy("web-pdb") }, []int{0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60},
			PDB, "default/web (PDB web-pdb): The disruption budget web-pdb needs 3 healthy pods and has 3 currently"},
		{"budget, asked to wait for longer", func() *http.Response { return afterSeconds(12, blockedBy("a", "b")) }, []int{0, 12, 24, 36, 48, 60},
			PDB, "default/web (PDB a, b): The disruption budget a "},
		{"server busy", func() *http.Response { return busy("1") }, []int{0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60},
			Failed, "too many requests"},
		{"server very busy", func() *http.Response { return busy("25") }, []int{0, 25, 50}, Failed, "too many requests"},
		{"two budgets", func() *http.Response {
			return failure(500, metav1.StatusReasonInternalError, "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
		}, []int{0, 5, 15, 35}, Failed, "more than one PodDisruptionBudget"},
		{"bad request", func() *http.Response { return failure(400, metav1.StatusReasonBadRequest, "no") }, []int{0, 5, 15, 35}, Failed, "no"},
		{"conflict", func() *http.Response { return failure(409, metav1.StatusReasonConflict, "no") }, []int{0, 5, 15, 35}, Failed, "no"},
		{"no permission", func() *http.Response {
			return failure(403, metav1.StatusReasonForbidden, `cannot create resource "pods/eviction"`)
		},
			[]int{0, 30, 60}, Forbidden, `default/web: cannot create resource "pods/eviction"`},
		{"namespace terminating", func() *http.Response {
			return failure(403, metav1.StatusReasonForbidden, "the namespace is being terminated",
				metav1.StatusCause{Type: corev1.NamespaceTerminatingCause})
		}, []int{0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60}, Terminating, "the namespace is being terminated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				web := newPod("web")
				s := newServer(t, web)
				s.refuse = func(*corev1.Pod, int) *http.Response { return tt.answer() }
				ctx, cancel := context.WithTimeout(t.Context(), 61*time.Second)
				defer cancel()
				start := time.Now()
				err := s.drainer(Options{GracePeriodSeconds: -1}).Drain(ctx, Evict, nil)
				if took := time.Since(start); took != 61*time.Second {
					t.Errorf("returned after %v", took)
				}
				var why *Error
				if !errors.As(err, &why) || !errors.Is(err, context.DeadlineExceeded) || len(why.Obstacles) != 1 {
					t.Fatalf("got error %v", err)
				}
				if why.Obstacles[0].Reason != tt.reason || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("got obstacle %+v, want reason %s and %q", why.Obstacles[0], tt.reason, tt.text)
				}
				if got := s.tried(web); !slices.Equal(got, tt.tried) {
					t.Errorf("tried at %v s, want %v", got, tt.tried)
				}
			})
		})
	}
}

// Nodes that drain at the same time don't ask in step: each is later, by up to a quarter, than it has to be.
func TestRetriesAreLaterByChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := newPod("web")
		s := newServer(t, web)
		s.refuse = func(*corev1.Pod, int) *http.Response { return blockedBy("web-pdb") }
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		most := func() float64 { return 1 }
		if err := s.drainer(Options{GracePeriodSeconds: -1, Chance: most}).Drain(ctx, Evict, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if got := s.tried(web); !slices.Equal(got, []int{0, 6, 12, 18}) {
			t.Errorf("tried at %v s", got)
		}
	})
}

func TestBlockedPodIsEvictedWhenTheBudgetAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, free := newPod("web"), newPod("free")
		s := newServer(t, web, free)
		s.refuse = func(p *corev1.Pod, nth int) *http.Response {
			if p.Name == "web" && nth < 4 {
				return blockedBy("web-pdb")
			}
			return nil
		}
		var blocked bool
		err := s.drainer(Options{GracePeriodSeconds: 7}).Drain(t.Context(), Evict, func(p Progress) {
			blocked = blocked || p.Blocked == 1 && slices.Equal(p.Obstacles[0].PDBs, []string{"web-pdb"})
		})
		if err != nil || !blocked {
			t.Fatalf("error %v, blocked pod reported: %v", err, blocked)
		}
		if got := s.tried(web); !slices.Equal(got, []int{0, 5, 10, 15}) {
			t.Errorf("tried at %v s", got)
		}
		if g := s.evictions[web.UID][0].grace; g == nil || *g != 7 {
			t.Errorf("grace period %v, want 7", g)
		}
	})
}

// In a namespace that is being deleted, a pod that is going already needs no eviction.
func TestTerminatingNamespaceIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := newPod("web", grace(60))
		s := newServer(t, web)
		s.refuse = func(*corev1.Pod, int) *http.Response {
			return failure(403, metav1.StatusReasonForbidden, "x", metav1.StatusCause{Type: corev1.NamespaceTerminatingCause})
		}
		time.AfterFunc(7*time.Second, func() { s.mu.Lock(); defer s.mu.Unlock(); s.terminate(web) })
		if err := s.drainer(Options{GracePeriodSeconds: 3}).Drain(t.Context(), Evict, nil); err != nil {
			t.Fatal(err)
		}
		if got := s.tried(web); !slices.Equal(got, []int{0, 5, 10}) {
			t.Errorf("tried at %v s", got)
		}
	})
}

// A pod on hold is never evicted, also when the hold comes while an eviction is refused; it is waited for, and said. One that has
// ended holds nothing.
func TestPodOnHold(t *testing.T) {
	const hold = "hold"
	held := func(p *corev1.Pod) { p.Annotations = map[string]string{hold: "moving"} }
	synctest.Test(t, func(t *testing.T) {
		web, late, db := newPod("web"), newPod("late"), newPod("db", held)
		done := newPod("done", held, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
		s := newServer(t, web, late, db, done)
		s.refuse = func(p *corev1.Pod, _ int) *http.Response {
			if p.Name == "late" && time.Since(s.began) < time.Minute {
				return blockedBy("late")
			}
			return nil
		}
		mark := func(p *corev1.Pod, edit func(*corev1.Pod)) {
			after := p.DeepCopy()
			after.Annotations = nil
			edit(after)
			s.put(after)
		}
		time.AfterFunc(7*time.Second, func() { mark(late, held) })
		time.AfterFunc(2*time.Minute, func() {
			mark(db, func(*corev1.Pod) {})
			mark(late, func(*corev1.Pod) {})
		})
		var atOneMinute Progress
		d := s.drainer(Options{GracePeriodSeconds: -1, Hold: func(p metav1.Object) string { return p.GetAnnotations()[hold] }})
		err := d.Drain(t.Context(), Evict, func(p Progress) {
			if time.Since(s.began) < 2*time.Minute {
				atOneMinute = p
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.tried(db); !slices.Equal(got, []int{120}) {
			t.Errorf("the pod on hold was evicted at %v", got)
		}
		if got := s.tried(late); !slices.Equal(got, []int{0, 5, 120}) {
			t.Errorf("the one that was put on hold later was evicted at %v", got)
		}
		if len(s.tried(web)) != 1 || len(s.tried(done)) != 1 {
			t.Errorf("requests: %v", s.requests)
		}
		if o := atOneMinute.Obstacles; len(o) != 2 || o[0].Reason != Held || o[0].String() != "default/db: must not be disturbed: moving" || atOneMinute.Blocked != 2 {
			t.Errorf("%+v", atOneMinute)
		}
	})
}

package drain

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestDrainEvictsWhatKubectlWould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, done := newPod("web"), newPod("done", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
		bare := newPod("bare", func(p *corev1.Pod) {
			p.OwnerReferences = nil
			p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		})
		orphan := newPod("orphan", ofDaemonSet("deleted"))
		static := newPod("static", func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} })
		elsewhere := newPod("elsewhere", func(p *corev1.Pod) { p.Spec.NodeName = "n2" })
		proxies := []*corev1.Pod{newPod("proxy-a", ofDaemonSet("proxy")), newPod("proxy-b", ofDaemonSet("proxy"))}
		s := newServer(t, append(proxies, web, done, bare, orphan, static, elsewhere)...)

		var last Progress
		if err := s.drainer(Options{GracePeriodSeconds: -1}).Drain(t.Context(), Evict, func(p Progress) { last = p }); err != nil {
			t.Fatal(err)
		}
		for _, p := range []*corev1.Pod{web, done, bare, orphan} {
			if got := s.tried(p); !slices.Equal(got, []int{0}) {
				t.Errorf("%s evicted at %v, want once", p.Name, got)
			}
			if s.evictions[p.UID][0].grace != nil {
				t.Errorf("%s evicted with a grace period that isn't its own", p.Name)
			}
		}
		if n := s.count("evict"); n != 4 {
			t.Errorf("%d evictions, want 4: %v", n, s.requests)
		}
		if n := s.count("daemonset kube-system/proxy"); n != 1 {
			t.Errorf("asked %d times for one DaemonSet", n)
		}
		if n := len(s.requests); n > 4+3+20 {
			t.Errorf("%d requests: %v", n, s.requests)
		}
		if last.Total != 4 || last.Evicted != 4 || last.Gone != 4 || last.Blocked != 0 || len(last.Obstacles) != 0 {
			t.Errorf("last report %+v", last)
		}
	})
}

// Pods of the name of an evicted one: only the UID tells.
func TestReplacements(t *testing.T) {
	tests := []struct {
		name    string
		edit    func(*corev1.Pod)
		evicted bool
	}{
		{"on this node", func(*corev1.Pod) {}, true},
		{"on this node in spite of the cordon", tolerant, false},
		{"on another node", func(p *corev1.Pod) { p.Spec.NodeName = "n2" }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, second := newPod("db-0", tt.edit), newPod("db-0", tt.edit, uid("second"))
				first.Spec.NodeName = "n1"
				s := newServer(t, first)
				s.onGone = func(p *corev1.Pod) {
					if p.UID == first.UID {
						s.put(second)
					}
				}
				if err := s.drainer(Options{GracePeriodSeconds: -1}).Drain(t.Context(), Evict, nil); err != nil {
					t.Fatal(err)
				}
				if len(s.tried(first)) != 1 || (len(s.tried(second)) > 0) != tt.evicted {
					t.Errorf("evictions: first %v, second %v", s.tried(first), s.tried(second))
				}
			})
		})
	}
}

// A pod that is bound here after the first list is evicted, though the watch hasn't shown it when
// all the others are gone.
func TestLatePodIsEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, late := newPod("web"), newPod("late")
		s := newServer(t, web)
		s.lag = 3 * time.Second
		time.AfterFunc(4900*time.Millisecond, func() { s.put(late) })
		if err := s.drainer(Options{GracePeriodSeconds: -1}).Drain(t.Context(), Evict, nil); err != nil {
			t.Fatal(err)
		}
		if len(s.tried(late)) != 1 || s.pods["default/late"] != nil {
			t.Errorf("late pod not evicted: %v", s.requests)
		}
		if n := s.count("list"); n > 10 {
			t.Errorf("%d lists", n)
		}
	})
}

func TestWatchResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := newPod("web", grace(600))
		s := newServer(t, web)
		stop := make(chan struct{})
		go func() { // the watch breaks all the time, most of all when the pod goes
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Second):
					s.drop()
				}
			}
		}()
		s.onGone = func(*corev1.Pod) { s.drop() }
		start := time.Now()
		err := s.drainer(Options{GracePeriodSeconds: -1}).Drain(t.Context(), Evict, nil)
		close(stop)
		if took := time.Since(start); err != nil || took < 600*time.Second || took > 610*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		if n := len(s.requests); n > 1+20 {
			t.Errorf("%d requests while one pod ended slowly: %v", n, s.requests)
		}
	})
}

// A version that the server has forgotten is answered by an error in the stream: list anew.
func TestWatchExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := newPod("web", grace(60))
		s := newServer(t, web)
		s.onGone = func(*corev1.Pod) { s.drop() }
		s.expired = true
		start := time.Now()
		err := s.drainer(Options{GracePeriodSeconds: -1}).Drain(t.Context(), Evict, nil)
		if took := time.Since(start); err != nil || took > 70*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

func TestSlowTermination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := newPod("slow", grace(3600))
		stuck := newPod("stuck", func(p *corev1.Pod) { p.Finalizers = []string{"example.org/wait"} })
		s := newServer(t, slow, stuck)
		cause := errors.New("drain timeout")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Minute, cause)
		defer cancel()
		err := s.drainer(Options{GracePeriodSeconds: -1}).Drain(ctx, Evict, nil)
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), "finalizers example.org/wait") ||
			!strings.Contains(err.Error(), "default/slow: still terminating, due to end by ") {
			t.Errorf("got %v", err)
		}
		if n := len(s.requests); n > 2+20 {
			t.Errorf("%d requests in 30 minutes: %v", n, s.requests)
		}
	})
}

func TestSkipWaitForDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := newPod("stuck", func(p *corev1.Pod) { p.Finalizers = []string{"example.org/wait"} })
		s := newServer(t, stuck)
		start := time.Now()
		err := s.drainer(Options{GracePeriodSeconds: -1, SkipWaitForDeleteSeconds: 60}).Drain(t.Context(), Evict, nil)
		// 2 s of grace, then more than 60 s; timestamps have whole seconds.
		if took := time.Since(start); err != nil || took < 62*time.Second || took > 65*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// A pod that is ending already is only evicted if that may cut its grace period, as with kubectl.
func TestPodThatIsEndingAlready(t *testing.T) {
	for _, tt := range []struct{ grace, evictions int }{{-1, 0}, {0, 1}} {
		synctest.Test(t, func(t *testing.T) {
			web := newPod("web", grace(40))
			s := newServer(t, web)
			s.terminate(web)
			if err := s.drainer(Options{GracePeriodSeconds: tt.grace}).Drain(t.Context(), Evict, nil); err != nil {
				t.Fatal(err)
			}
			if got := len(s.tried(web)); got != tt.evictions {
				t.Errorf("grace period %d: %d evictions, want %d", tt.grace, got, tt.evictions)
			}
		})
	}
}

// While a DaemonSet can't be read, its pods could be orphans: the node isn't drained.
func TestUnreadableDaemonSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, newPod("proxy-a", ofDaemonSet("proxy")), newPod("orphan", ofDaemonSet("deleted")))
		s.getSet = func(nth int) *http.Response {
			if nth < 4 {
				return failure(403, metav1.StatusReasonForbidden, "cannot get daemonsets")
			}
			return nil
		}
		var worst Progress
		start := time.Now()
		err := s.drainer(Options{GracePeriodSeconds: -1}).Drain(t.Context(), Evict, func(p Progress) {
			if p.Blocked > worst.Blocked {
				worst = p
			}
		})
		if took := time.Since(start); err != nil || took < 30*time.Second || took > 70*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		if worst.Blocked != 2 || worst.Obstacles[0].Reason != Forbidden || worst.Obstacles[0].Pod != "orphan" {
			t.Errorf("reported %+v", worst)
		}
		if s.count("evict") != 1 {
			t.Errorf("requests %v", s.requests)
		}
	})
}

func TestUnreadablePods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.noWatch = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		// The list works, so an empty node is proved to be empty all the same.
		if err := s.drainer(Options{}).Drain(ctx, Evict, nil); err != nil {
			t.Errorf("empty node: %v", err)
		}
		web := newPod("web", grace(10))
		s.put(web)
		start := time.Now()
		if err := s.drainer(Options{GracePeriodSeconds: -1}).Drain(ctx, Evict, nil); err != nil || time.Since(start) > 20*time.Second {
			t.Errorf("lists only: %v after %v", err, time.Since(start))
		}
		s.put(newPod("blocked"))
		s.refuse = func(*corev1.Pod, int) *http.Response { return blockedBy("x") }
		err := s.drainer(Options{GracePeriodSeconds: -1}).Drain(ctx, Evict, nil)
		if err == nil || !strings.Contains(err.Error(), "pods of the node: ") || !strings.Contains(err.Error(), "no watching") {
			t.Errorf("got %v", err)
		}
	})
}

func TestEvictionsRunInParallelWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pods []*corev1.Pod
		for i := range 110 {
			pods = append(pods, newPod(fmt.Sprintf("web-%03d", i)))
		}
		s := newServer(t, pods...)
		start := time.Now()
		if err := s.drainer(Options{GracePeriodSeconds: -1}).Drain(t.Context(), Evict, nil); err != nil {
			t.Fatal(err)
		}
		if s.peak != 20 {
			t.Errorf("%d evictions at once, want 20", s.peak)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("took %v", took)
		}
		if n := len(s.requests); n > 110+20 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestCancelIsObeyedAtOnce(t *testing.T) {
	for _, after := range []time.Duration{0, 5 * time.Millisecond, time.Second, 7 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var pods []*corev1.Pod
			for i := range 110 {
				pods = append(pods, newPod(fmt.Sprintf("web-%03d", i)))
			}
			s := newServer(t, pods...)
			s.refuse = func(*corev1.Pod, int) *http.Response { return blockedBy("x") }
			ctx, cancel := context.WithCancel(t.Context())
			start := time.Now()
			time.AfterFunc(after, cancel)
			err := s.drainer(Options{GracePeriodSeconds: -1}).Drain(ctx, Evict, nil)
			if took := time.Since(start); took > after+100*time.Millisecond || !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled after %v, returned after %v: %v", after, took, err)
			}
			if after >= time.Second && !strings.HasSuffix(err.Error(), "; and 105 more") {
				t.Errorf("got %v", err)
			}
			if strings.Count(err.Error(), "context canceled") != 1 {
				t.Errorf("the end of the context is told as an obstacle: %v", err)
			}
			if n := len(s.evictions[types.UID("uid-web-000")]); after > time.Second && n != 2 {
				t.Errorf("%d evictions of one pod", n)
			}
		})
	}
}

func TestBadOptions(t *testing.T) {
	s := newServer(t)
	d := s.drainer(Options{PodSelector: "a in b"})
	if err := d.Drain(t.Context(), Evict, nil); err == nil || !strings.Contains(err.Error(), "drain pod selector") {
		t.Errorf("bad selector: %v", err)
	}
	if _, err := d.Preflight(t.Context()); err == nil {
		t.Error("bad selector: no error")
	}
	d.opts = Options{}
	if err := d.Drain(t.Context(), Evict, nil); err == nil {
		t.Error("no node name: no error")
	}
	if len(s.requests) > 0 {
		t.Errorf("requests %v", s.requests)
	}
}

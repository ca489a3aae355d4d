package drain

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// server is the little of an API server that a drain talks to, as an http.RoundTripper: without
// sockets it runs in a synctest bubble. What the real one does is tested in test/integration.
type server struct {
	t  *testing.T
	mu sync.Mutex

	pods    map[string]*corev1.Pod // by namespace/name
	sets    map[string]bool        // DaemonSets, by namespace/name
	version int
	events  []event
	streams []*stream
	began   time.Time

	// refuse answers an eviction instead of the server; nil: it is accepted.
	refuse func(pod *corev1.Pod, nth int) *http.Response
	// onGone runs when a pod's grace period is over and it has been removed.
	onGone func(pod *corev1.Pod)
	// getSet answers a get of a DaemonSet instead of the server, if not nil.
	getSet func(nth int) *http.Response
	// noWatch: watches are refused.
	noWatch bool
	// expired: watches end with 410 as soon as they resume.
	expired bool
	// lag is how late watches are.
	lag time.Duration

	requests  []string                // "list", "watch", "evict ns/name", "daemonset ns/name"
	evictions map[types.UID][]attempt // each pod's
	inFlight  int
	peak      int
}

type attempt struct {
	at    time.Duration // since the test began
	grace *int64
}

type event struct {
	version int
	at      time.Time
	kind    watch.EventType
	pod     corev1.Pod
}

func newServer(t *testing.T, pods ...*corev1.Pod) *server {
	s := &server{
		t: t, pods: map[string]*corev1.Pod{}, sets: map[string]bool{"kube-system/proxy": true}, version: 1,
		began: time.Now(), evictions: map[types.UID][]attempt{},
	}
	for _, p := range pods {
		s.pods[p.Namespace+"/"+p.Name] = p
		p.ResourceVersion = "1"
	}
	return s
}

func (s *server) drainer(o Options) *Drainer {
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://server", Transport: s, QPS: -1})
	if err != nil {
		s.t.Fatal(err)
	}
	o.NodeName = "n1"
	log := logrus.New()
	log.SetOutput(s.t.Output())
	log.SetLevel(logrus.DebugLevel)
	c := clientOf(client)
	c.Core = client.CoreV1().RESTClient()
	c.Budgets = func(ctx context.Context, namespace string) (*policyv1.PodDisruptionBudgetList, error) {
		return client.PolicyV1().PodDisruptionBudgets(namespace).List(ctx, metav1.ListOptions{})
	}
	return New(c, o, log)
}

// put adds or changes a pod, remove takes it away; change does either under the lock.
func (s *server) put(p *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(p, false)
}

func (s *server) remove(p *corev1.Pod) {
	s.mu.Lock()
	gone := s.pods[p.Namespace+"/"+p.Name]
	if gone != nil && gone.UID == p.UID {
		s.change(gone, true)
	}
	s.mu.Unlock()
	if s.onGone != nil {
		s.onGone(p)
	}
}

func (s *server) change(p *corev1.Pod, gone bool) {
	s.version++
	p = p.DeepCopy()
	p.ResourceVersion = fmt.Sprint(s.version)
	k := p.Namespace + "/" + p.Name
	kind := watch.Added
	if s.pods[k] != nil {
		kind = watch.Modified
	}
	s.pods[k] = p
	if gone {
		kind = watch.Deleted
		delete(s.pods, k)
	}
	if p.Spec.NodeName != "n1" {
		return // nobody watches other nodes
	}
	e := event{s.version, time.Now().Add(s.lag), kind, *p}
	s.events = append(s.events, e)
	for _, w := range s.streams {
		w.queue <- e
	}
}

// drop breaks every watch.
func (s *server) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.streams {
		_ = w.CloseWithError(io.ErrUnexpectedEOF)
	}
	s.streams = nil
}

// stream is one watch.
type stream struct {
	*io.PipeWriter
	queue chan event
}

// run sends what is queued, each event when its time has come, until ctx ends.
func (w *stream) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			_ = w.CloseWithError(ctx.Err())
			return
		case e := <-w.queue:
			time.Sleep(time.Until(e.at))
			e.pod.TypeMeta = metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}
			raw, _ := json.Marshal(map[string]any{"type": e.kind, "object": e.pod})
			_, _ = w.Write(append(raw, '\n'))
		}
	}
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/api/v1/pods" && r.URL.Query().Get("watch") != "":
		return s.watch(r), nil
	case r.URL.Path == "/api/v1/pods":
		return s.list(r), nil
	case len(path) == 7 && path[6] == "eviction":
		return s.evict(r, path[3]+"/"+path[5])
	case len(path) == 7 && path[5] == "daemonsets":
		s.mu.Lock()
		defer s.mu.Unlock()
		name := path[4] + "/" + path[6]
		s.requests = append(s.requests, "daemonset "+name)
		if s.getSet != nil {
			if resp := s.getSet(s.count("daemonset")); resp != nil {
				return resp, nil
			}
		}
		if !s.sets[name] {
			return failure(404, metav1.StatusReasonNotFound, "no such daemonset"), nil
		}
		return answer(200, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: path[6], Namespace: path[4]}}), nil
	}
	s.t.Errorf("unexpected request %s %s", r.Method, r.URL)
	return failure(404, metav1.StatusReasonNotFound, "no such path"), nil
}

func (s *server) list(r *http.Request) *http.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, "list")
	list := &corev1.PodList{
		TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"},
		ListMeta: metav1.ListMeta{ResourceVersion: fmt.Sprint(s.version)},
	}
	if got := r.URL.Query().Get("fieldSelector"); got != "spec.nodeName=n1" {
		s.t.Errorf("list with field selector %q", got)
	}
	selector := fields.ParseSelectorOrDie(r.URL.Query().Get("fieldSelector"))
	for _, p := range s.pods {
		if selector.Matches(fields.Set{"spec.nodeName": p.Spec.NodeName}) {
			list.Items = append(list.Items, *p)
		}
	}
	return answer(200, list)
}

func (s *server) watch(r *http.Request) *http.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, "watch")
	if s.noWatch {
		return failure(403, metav1.StatusReasonForbidden, "no watching")
	}
	if s.expired && s.count("watch") > 1 {
		gone := metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: 410, Reason: metav1.StatusReasonExpired}
		return answer(200, map[string]any{"type": watch.Error, "object": gone})
	}
	var from int
	_, _ = fmt.Sscan(r.URL.Query().Get("resourceVersion"), &from)
	reader, writer := io.Pipe()
	w := &stream{writer, make(chan event, 1000)}
	for _, e := range s.events {
		if e.version > from {
			w.queue <- e
		}
	}
	s.streams = append(s.streams, w)
	go w.run(r.Context())
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: reader, Request: r,
	}
}

func (s *server) evict(r *http.Request, name string) (*http.Response, error) {
	var eviction policyv1.Eviction
	if err := json.NewDecoder(r.Body).Decode(&eviction); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.inFlight++
	s.peak = max(s.peak, s.inFlight)
	s.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	s.requests = append(s.requests, "evict "+name)
	uid := *eviction.DeleteOptions.Preconditions.UID
	s.evictions[uid] = append(s.evictions[uid], attempt{time.Since(s.began), eviction.DeleteOptions.GracePeriodSeconds})
	p := s.pods[name]
	switch {
	case p == nil:
		return failure(404, metav1.StatusReasonNotFound, "no such pod"), nil
	case p.UID != uid:
		return failure(409, metav1.StatusReasonConflict, "another UID"), nil
	}
	if s.refuse != nil {
		if resp := s.refuse(p, len(s.evictions[uid])); resp != nil {
			return resp, nil
		}
	}
	if p.DeletionTimestamp == nil {
		s.terminate(p)
	}
	return answer(201, &metav1.Status{Status: metav1.StatusSuccess}), nil
}

// terminate begins the grace period; the pod vanishes at its end.
func (s *server) terminate(p *corev1.Pod) {
	p = p.DeepCopy()
	grace := time.Duration(*p.Spec.TerminationGracePeriodSeconds) * time.Second
	end := metav1.NewTime(time.Now().Add(grace))
	p.DeletionTimestamp = &end
	s.change(p, false)
	if len(p.Finalizers) == 0 {
		time.AfterFunc(grace, func() { s.remove(p) })
	}
}

// count is how many requests of a kind came; the lock must be held, or the drain be over.
func (s *server) count(kind string) int {
	n := 0
	for _, r := range s.requests {
		if strings.HasPrefix(r, kind) {
			n++
		}
	}
	return n
}

// tried is when the pod's evictions came, in whole seconds since the test began.
func (s *server) tried(p *corev1.Pod) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := []int{}
	for _, a := range s.evictions[p.UID] {
		at = append(at, int(a.at.Seconds()))
	}
	return slices.Clip(at)
}

func answer(code int, body any) *http.Response {
	raw, _ := json.Marshal(body)
	return &http.Response{
		StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(string(raw))),
	}
}

func failure(code int32, reason metav1.StatusReason, message string, causes ...metav1.StatusCause) *http.Response {
	return answer(int(code), &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Code: code, Reason: reason, Message: message,
		Details: &metav1.StatusDetails{Causes: causes},
	})
}

// blockedBy is the API server's answer when disruption budgets forbid an eviction.
func blockedBy(pdbs ...string) *http.Response {
	var causes []metav1.StatusCause
	for _, pdb := range pdbs {
		causes = append(causes, metav1.StatusCause{
			Type:    policyv1.DisruptionBudgetCause,
			Message: fmt.Sprintf("The disruption budget %s needs 3 healthy pods and has 3 currently", pdb),
		})
	}
	return failure(429, metav1.StatusReasonTooManyRequests, "Cannot evict pod as it would violate the pod's disruption budget.", causes...)
}

// afterSeconds adds a Retry-After to a failure, as the API server does: in the header and the body.
func afterSeconds(seconds int32, resp *http.Response) *http.Response {
	var status metav1.Status
	_ = json.NewDecoder(resp.Body).Decode(&status)
	status.Details.RetryAfterSeconds = seconds
	resp = answer(resp.StatusCode, &status)
	resp.Header.Set("Retry-After", fmt.Sprint(seconds))
	return resp
}

// newPod is a pod of a ReplicaSet on the node, with a grace period of 2 s.
func newPod(name string, edit ...func(*corev1.Pod)) *corev1.Pod {
	grace, yes := int64(2), true
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, UID: types.UID("uid-" + name),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", Controller: &yes}},
		},
		Spec: corev1.PodSpec{NodeName: "n1", TerminationGracePeriodSeconds: &grace},
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

func ofDaemonSet(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Namespace = "kube-system"
		p.OwnerReferences[0].Kind, p.OwnerReferences[0].Name = "DaemonSet", name
		tolerant(p)
	}
}

func tolerant(p *corev1.Pod) {
	p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
}

func grace(seconds int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = &seconds }
}

func uid(u string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.UID = types.UID(u) } }

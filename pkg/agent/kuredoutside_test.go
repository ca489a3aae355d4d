package agent_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
)

// outside is an API server and a Prometheus, as little as the rows need, that remember what was asked.
type outside struct {
	t   *testing.T
	url string
	mu  sync.Mutex
	all []string
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	w := &outside{t: t}
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

func (w *outside) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(w.all)
	return strings.Join(slices.Compact(w.all), " ")
}

func (w *outside) say(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, s)
}

func (w *outside) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	out.Header().Set("Content-Type", "application/json")
	var answer any
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/v1/query"):
		answer = json.RawMessage(`{"status":"success","data":{"resultType":"vector","result":[
			{"metric":{"__name__":"ALERTS","alertname":"Alpha","alertstate":"firing"},"value":[1,"1"]},
			{"metric":{"__name__":"ALERTS","alertname":"Beta","alertstate":"pending"},"value":[1,"1"]}]}}`)
	case strings.HasSuffix(r.URL.Path, "/eviction"):
		w.evict(body)
		answer = metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess}
	case strings.HasSuffix(r.URL.Path, "/pods") && r.URL.Query().Get("watch") != "":
		<-r.Context().Done()
		return
	case strings.HasSuffix(r.URL.Path, "/pods"):
		answer = pods(r.URL.Query().Get("labelSelector"))
	default: // of kured's DaemonSet
		w.say(r.URL.Path + string(body))
		answer = json.RawMessage(`{"kind":"DaemonSet","apiVersion":"apps/v1","metadata":{"name":"kured","uid":"1","resourceVersion":"1"}}`)
	}
	_ = json.NewEncoder(out).Encode(answer) // the asker notices
}

func (w *outside) evict(body []byte) {
	e := &policyv1.Eviction{}
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, e); err != nil {
		w.t.Error(err)
	}
	text := e.Name
	if o := e.DeleteOptions; o != nil && o.GracePeriodSeconds != nil {
		text += fmt.Sprintf(" %ds", *o.GracePeriodSeconds)
	}
	w.say(text)
}

func pods(selector string) corev1.PodList {
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
	for _, name := range []string{"a", "b", "late"} {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name), Labels: map[string]string{"app": name}}}
		p.Spec.NodeName = "worker"
		if name == "late" {
			gone := metav1.NewTime(time.Now().Add(-time.Hour))
			p.DeletionTimestamp = &gone
		}
		if selector == "" || selector == "app="+name {
			list.Items = append(list.Items, p)
		}
	}
	return list
}

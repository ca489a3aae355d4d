package kube

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

// answer is a list as the API server sends it.
func answer(t testing.TB, names ...string) []byte {
	t.Helper()
	list := &corev1.NodeList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}}
	for _, name := range names {
		list.Items = append(list.Items, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"a": "b"}}})
	}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NodeList"))
	scheme := runtime.NewScheme()
	var b bytes.Buffer
	if err := protobuf.NewSerializer(scheme, scheme).Encode(list, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func names(raw []byte) (names []string, err error) {
	err = eachItem(bufio.NewReader(bytes.NewReader(raw)), func(raw []byte) error {
		n := &corev1.Node{}
		if err := n.Unmarshal(raw); err != nil {
			return err
		}
		names = append(names, n.Name)
		return nil
	})
	return names, err
}

func TestEachItem(t *testing.T) {
	for _, want := range [][]string{nil, {"a"}, {"a", "b", "c"}} {
		got, err := names(answer(t, want...))
		if err != nil || len(got) != len(want) {
			t.Fatalf("%v: got %v, %v", want, got, err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%v: got %v", want, got)
			}
		}
	}
}

// A list that is cut off anywhere is an error: who isn't in it might be taken for gone.
func TestCutOff(t *testing.T) {
	whole := answer(t, "a", "b", "c")
	complete := 0
	for n := range whole {
		got, err := names(whole[:n])
		switch {
		case err != nil && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errNoList)):
		case len(got) == 3 && err == nil: // only what comes behind the list is missing
			complete++
		default:
			t.Errorf("%d of %d bytes: got %v, %v", n, len(whole), got, err)
		}
	}
	if complete > 10 {
		t.Errorf("complete %d bytes before the end", complete)
	}
}

func TestNoList(t *testing.T) {
	for _, raw := range []string{"", "{}", "k8s\x00", "k8s\x00\x0a\x00", "k8s\x00\x0f"} {
		if got, err := names([]byte(raw)); err == nil || len(got) > 0 {
			t.Errorf("%q: %v, %v", raw, got, err)
		}
	}
	huge := append([]byte("k8s\x00\x12\xff\xff\xff\xff\x0f"), 0x12, 0xff, 0xff, 0xff, 0x7f)
	if _, err := names(huge); !errors.Is(err, errNoList) {
		t.Errorf("a huge item: %v", err)
	}
}

// Whatever comes, it ends, and what is handed out was in it.
func FuzzEachItem(f *testing.F) {
	f.Add(answer(f, "a", "b"))
	f.Add([]byte("k8s\x00\x12\x02\x12\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		total := 0
		_ = eachItem(bufio.NewReader(bytes.NewReader(raw)), func(item []byte) error {
			total += len(item)
			if short := new(stripper).strip(nil, item); len(short) > len(item) {
				t.Errorf("%d bytes became %d", len(item), len(short))
			}
			return nil
		})
		if total > len(raw) {
			t.Errorf("%d bytes out of %d", total, len(raw))
		}
	})
}

// What is in memory at once doesn't grow with the number of Nodes, and each costs no more than it takes to read it.
func TestEachItemAllocatesLittle(t *testing.T) {
	few, many := make([]string, 10), make([]string, 1000)
	cost := func(list []string) float64 {
		raw := answer(t, list...)
		return testing.AllocsPerRun(5, func() {
			_ = eachItem(bufio.NewReader(bytes.NewReader(raw)), func([]byte) error { return nil })
		})
	}
	if a, b := cost(few), cost(many); b > a+2 {
		t.Errorf("%.0f allocations for %d items, %.0f for %d", a, len(few), b, len(many))
	}
}

// What a Node costs to read doesn't depend on its images and managed fields, of which real ones have many.
func TestNodeAllocatesLittle(t *testing.T) {
	node := func(images int) []byte {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"a": "b"}}, Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
		for range images {
			n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{"registry.example.com/a:v1"}, SizeBytes: 1 << 20})
			n.ManagedFields = append(n.ManagedFields, metav1.ManagedFieldsEntry{Manager: "m", Operation: metav1.ManagedFieldsOperationApply})
		}
		raw, err := n.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	cost := func(images int) float64 {
		raw, seen := node(images), 0
		take := stripped(nil, func(n *corev1.Node) { seen += len(n.Name) })
		return testing.AllocsPerRun(20, func() {
			if err := take(raw); err != nil || seen == 0 {
				t.Fatal(err, seen)
			}
		})
	}
	const most = 30
	if bare, full := cost(0), cost(100); full > bare+2 || bare > most {
		t.Errorf("%.0f allocations for a Node, %.0f for one with a hundred images; want no more than %d", bare, full, most)
	}
}

// Nothing is left out of a Node but images and managed fields.
func TestStrip(t *testing.T) {
	yes := true
	seconds := int64(30)
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: "n", UID: "u", ResourceVersion: "7", Generation: 3, Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"},
			CreationTimestamp: metav1.Unix(1, 0), DeletionTimestamp: &metav1.Time{Time: metav1.Unix(2, 0).Time}, DeletionGracePeriodSeconds: &seconds,
			OwnerReferences: []metav1.OwnerReference{{Name: "o", Controller: &yes}}, Finalizers: []string{"f"},
		},
		Spec: corev1.NodeSpec{Unschedulable: true, PodCIDR: "10.0.0.0/24", Taints: []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoExecute}}},
		Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}, NodeInfo: corev1.NodeSystemInfo{BootID: "b"},
			VolumesAttached: []corev1.AttachedVolume{{Name: "v"}},
		},
	}
	want, err := n.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	n.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m"}, {Manager: "o"}}
	n.Status.Images = []corev1.ContainerImage{{Names: []string{"i"}, SizeBytes: 5}, {Names: []string{"j"}}}
	full, err := n.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if got := new(stripper).strip(nil, full); !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for end := range full { // what is cut off stays a thing that the decoder refuses, or a shorter Node
		_ = new(corev1.Node).Unmarshal(new(stripper).strip(nil, full[:end]))
	}
	for _, odd := range []string{"\x0a", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x0a\x05ab", "\x0d1234", "\x08"} {
		if got := new(stripper).strip(nil, []byte(odd)); string(got) != odd {
			t.Errorf("%q became %q", odd, got)
		}
	}
}

// Of labels and annotations only those are left that are looked at; whatever else there is stays.
func TestStripKeys(t *testing.T) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: "n", UID: "u", Labels: map[string]string{"keep": "1", "other": "2", "empty": ""}, Annotations: map[string]string{"keep": "3", "x": strings.Repeat("y", 300)},
		Finalizers: []string{"f"},
	}, Spec: corev1.NodeSpec{Unschedulable: true}}
	raw, err := n.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s := stripper{keep: func(key string) bool { return key == "keep" }}
	for range 2 { // its buffer is used again
		got := &corev1.Node{}
		if err := got.Unmarshal(s.strip(nil, raw)); err != nil {
			t.Fatal(err)
		}
		want := n.DeepCopy()
		want.Labels, want.Annotations = map[string]string{"keep": "1"}, map[string]string{"keep": "3"}
		if !equality.Semantic.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	}
	for end := range raw {
		_ = new(corev1.Node).Unmarshal(s.strip(nil, raw[:end])) // it ends
	}
	for _, odd := range []string{"", "\x0a", "\x12\x01k", "\x0a\x05k", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		if key, ok := entryKey([]byte(odd)); ok {
			t.Errorf("%q has the key %q", odd, key)
		}
	}
}

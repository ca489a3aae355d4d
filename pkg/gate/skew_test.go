package gate

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

func TestSkew(t *testing.T) {
	for _, tt := range []struct {
		kubelet, server string
		reason          plan.Reason
		says            string
	}{
		{"v1.31.2", "v1.31.2", "", ""},
		{"v1.31.9", "v1.31.2", "", ""},
		{"v1.30.4-gke.100", "v1.31.0+k3s1", "", ""},
		{"v1.28.15", "v1.31.0", "", ""},
		{"v1.27.16", "v1.31.0", plan.BlockedByVersionSkew, "v1.27.16, more than 3 minor versions older than the API server, which is v1.31.0"},
		{"v1.32.0-eks-5c272b4", "v1.31.7-eks-bcf3d70", plan.BlockedByVersionSkew, "v1.32.0-eks-5c272b4, newer than the API server"},
		{"v1.32.0-rc.1", "v1.31.7", plan.BlockedByVersionSkew, "newer"},
		{"v2.0.0", "v1.36.0", plan.BlockedByVersionSkew, "newer"},
		{"v1.36.0", "v2.0.0", plan.BlockedByVersionSkew, "older"},
		{"1.31", "v1.31.1", "", ""},
		{"", "v1.31.0", plan.GateError, "has not reported its version"},
		{"fake", "v1.31.0", plan.GateError, `the kubelet's version "fake" is none`},
		{"v1.31.0", "", plan.GateError, `the API server's version "" is none`},
	} {
		t.Run(tt.kubelet+" "+tt.server, func(t *testing.T) {
			n := &corev1.Node{Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KubeletVersion: tt.kubelet}}}
			v := Skew{Server: func(context.Context) (string, error) { return tt.server, nil }}.Ask(t.Context(), n)
			if v.Gate != "version-skew" || v.Open != (tt.reason == "") || v.Reason != tt.reason || !strings.Contains(v.Message, tt.says) || v.Everyone {
				t.Errorf("%+v", v)
			}
		})
	}
	v := Skew{Server: func(context.Context) (string, error) { return "", errors.New("no answer") }}.Ask(t.Context(), &corev1.Node{})
	if v.Open || v.Reason != plan.GateError || !v.Everyone || !strings.Contains(v.Message, "no answer") {
		t.Errorf("%+v", v)
	}
}

func FuzzSkew(f *testing.F) {
	f.Add("v1.31.0", "v1.31.0+k3s1")
	f.Fuzz(func(t *testing.T, kubelet, server string) {
		said, err := skew(kubelet, server)
		if err != nil && said != "" {
			t.Errorf("%q and %v", said, err)
		}
		if _, same := skew(kubelet, kubelet); same == nil {
			if said, _ := skew(kubelet, kubelet); said != "" {
				t.Errorf("%q doesn't fit itself: %s", kubelet, said)
			}
		}
	})
}

func TestBudgets(t *testing.T) {
	node := func(phase plan.Phase) *corev1.Node {
		n := &corev1.Node{}
		n.Annotations = map[string]string{"state": plan.Record{Phase: phase, BootID: "b"}.String()}
		return n
	}
	for _, tt := range []struct {
		name    string
		hold    bool
		phase   plan.Phase
		refused []string
		err     error
		want    plan.Verdict
	}{
		{"nothing", true, plan.Required, nil, nil, plan.Verdict{Open: true}},
		{"explains", false, plan.Required, []string{"a/b (PDB c): no"}, nil,
			plan.Verdict{Open: true, Message: "PodDisruptionBudgets would refuse evictions now: a/b (PDB c): no."}},
		{"holds", true, plan.Required, []string{"1", "2", "3", "4", "5"}, errors.New("beside"),
			plan.Verdict{Reason: plan.BlockedByPDB, Message: "PodDisruptionBudgets would refuse evictions now: 1; 2; 3; and 2 more."}},
		{"can't explain", false, plan.Required, nil, errors.New("list\nforbidden"),
			plan.Verdict{Open: true, Message: "Whether PodDisruptionBudgets would refuse evictions can't be known: list; forbidden (--pdb-preflight)."}},
		{"can't know", true, plan.Required, nil, errors.New("forbidden"),
			plan.Verdict{Reason: plan.GateError, Message: "Whether PodDisruptionBudgets would refuse evictions can't be known: forbidden (--pdb-preflight)."}},
		{"cordoned", true, plan.Drain, []string{"1"}, nil, plan.Verdict{Open: true}},
		{"drained", true, plan.Rebooting, []string{"1"}, nil, plan.Verdict{Open: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := false
			g := Budgets{Hold: tt.hold, Annotation: "state", Refused: func(context.Context) ([]string, error) {
				asked = true
				return tt.refused, tt.err
			}}
			v := g.Ask(t.Context(), node(tt.phase))
			tt.want.Gate = "pdb-preflight"
			if v != tt.want || asked != (tt.phase == plan.Required) {
				t.Errorf("asked %v, got %+v", asked, v)
			}
		})
	}
}

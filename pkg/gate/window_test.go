package gate

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/schedule"
)

func TestWindow(t *testing.T) {
	window, err := schedule.ParseWindow("sat 02:00-06:00")
	if err != nil {
		t.Fatal(err)
	}
	freeze, err := schedule.ParseFreeze("christmas=2026-12-20..2027-01-03")
	if err != nil {
		t.Fatal(err)
	}
	in := func(p plan.Phase) map[string]string {
		return map[string]string{"rebootd.io/state": plan.Record{Phase: p, BootID: "b"}.String()}
	}
	for _, tt := range []struct {
		at     string
		record map[string]string
		want   plan.Reason // "": open
		says   string
	}{
		{"2026-11-28T02:00:00Z", nil, "", ""},
		{"2026-11-28T01:59:59Z", nil, plan.OutsideWindow, "the next one opens at 2026-11-28T02:00:00Z (sat 02:00-06:00)"},
		{"2026-11-28T05:29:59Z", in(plan.Required), "", ""},
		{"2026-11-28T05:30:00Z", in(plan.Required), plan.OutsideWindow, "--window-margin=30m0s"},
		{"2026-11-28T05:30:00Z", map[string]string{"rebootd.io/state": "{"}, plan.OutsideWindow, "--window-margin=30m0s"},
		{"2026-11-28T05:30:00Z", in(plan.Drain), "", ""},
		{"2026-11-28T05:59:59Z", in(plan.Rebooting), "", ""},
		{"2026-11-28T06:00:00Z", in(plan.Drain), plan.OutsideWindow, "the next one opens at 2026-12-05T02:00:00Z"},
		{"2026-12-26T03:00:00Z", nil, plan.Frozen, "Freeze christmas=2026-12-20..2027-01-03 holds until 2027-01-04T00:00:00Z; the next one opens at 2027-01-09T02:00:00Z"},
		{"2026-12-26T03:00:00Z", in(plan.Drain), plan.Frozen, "christmas"},
	} {
		now, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		w := Window{
			Schedule: schedule.Schedule{Windows: []schedule.Window{window}, Freezes: []schedule.Freeze{freeze}, Zone: time.UTC},
			Margin:   30 * time.Minute, Annotation: "rebootd.io/state", Now: func() time.Time { return now },
		}
		v := w.Ask(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Annotations: tt.record}})
		if v.Gate != "window" || v.Open != (tt.want == "") || v.Reason != tt.want || v.Everyone == v.Open || v.Costly || v.Skippable == (v.Reason == plan.Frozen) || !strings.Contains(v.Message, tt.says) {
			t.Errorf("at %s with %v: %+v", tt.at, tt.record, v)
		}
	}
}

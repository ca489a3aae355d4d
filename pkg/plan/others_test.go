package plan

import (
	"strings"
	"testing"
)

func TestBudget(t *testing.T) {
	ready := Other{Name: "ready", Ready: true}
	cordoned := Other{Name: "cordoned", Ready: true, Unschedulable: true}
	down := Other{Name: "down"}
	broken := Other{Name: "broken", Busy: true}
	rebooting := Other{Name: "rebooting", Busy: true, Unschedulable: true, HoldsSlot: true, HeldFirst: true}
	before := Other{Name: "before", Ready: true, HoldsSlot: true, HeldFirst: true}
	after := Other{Name: "after", Ready: true, HoldsSlot: true}
	together := Other{Name: "b", Ready: true, HoldsSlot: true, HeldTogether: true}
	for _, c := range []struct {
		name   string
		budget Budget
		others []Other
		why    string // part of it; empty: it may go
	}{
		{"alone", Budget{Slots: 1, MaxUnavailable: 1}, nil, ""},
		{"all well", Budget{Slots: 1, MaxUnavailable: 1}, []Other{ready, ready}, ""},
		{"no limit", Budget{Slots: 1}, []Other{ready, cordoned, down}, ""},
		{"not Ready", Budget{Slots: 1, MaxUnavailable: 1}, []Other{ready, down}, "1 node is out of service already: down;"},
		{"cordoned", Budget{Slots: 1, MaxUnavailable: 1}, []Other{cordoned}, "already: cordoned;"},
		{"room for one more", Budget{Slots: 1, MaxUnavailable: 3}, []Other{cordoned, down}, ""},
		{"no room", Budget{Slots: 1, MaxUnavailable: 2}, []Other{cordoned, down}, "2 nodes are out of service already: cordoned, down;"},
		{"another goes, it came first", Budget{Slots: 2, MaxUnavailable: 1}, []Other{before}, "already: before;"},
		{"another goes, it came in the same second", Budget{Slots: 2, MaxUnavailable: 1}, []Other{together}, "already: b;"},
		{"another goes, it came later", Budget{Slots: 2, MaxUnavailable: 1}, []Other{after}, ""},
		{"one is out in its slot, another is free", Budget{Slots: 2}, []Other{rebooting}, ""},
		{"broken without a slot", Budget{Slots: 1}, []Other{broken}, "1 node is out of service by rebootd's doing or not back yet: broken;"},
		{"broken, and a slot more", Budget{Slots: 2}, []Other{broken}, ""},
		{"broken and rebooting", Budget{Slots: 2}, []Other{broken, rebooting}, "broken, rebooting"},
		{"many", Budget{MaxUnavailable: 1}, []Other{down, down, down, down, down, down, down}, "down, down, down, down, down and 2 more;"},
	} {
		t.Run(c.name, func(t *testing.T) {
			why := c.budget.TooMany(c.others)
			if (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
				t.Errorf("%q, want %q", why, c.why)
			}
		})
	}
}

func TestGivesWay(t *testing.T) {
	together := Other{Name: "b", Ready: true, HoldsSlot: true, HeldTogether: true}
	before := Other{Name: "before", Ready: true, HoldsSlot: true, HeldFirst: true}
	down := Other{Name: "down"}
	for _, c := range []struct {
		name   string
		self   string
		budget Budget
		others []Other
		gives  bool
	}{
		{"the first by name", "a", Budget{Slots: 2, MaxUnavailable: 1}, []Other{together}, false},
		{"the second", "c", Budget{Slots: 2, MaxUnavailable: 1}, []Other{together}, true},
		{"there is room", "c", Budget{Slots: 2, MaxUnavailable: 2}, []Other{together}, false},
		{"there would be no room without it either", "c", Budget{Slots: 2, MaxUnavailable: 1}, []Other{together, down}, false},
		{"whoever came first keeps its turn", "c", Budget{Slots: 2, MaxUnavailable: 1}, []Other{before}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.budget.GivesWay(c.self, c.others); got != c.gives {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestQuorum(t *testing.T) {
	up := Other{Name: "up", ControlPlane: true, Ready: true}
	down := Other{Name: "down", ControlPlane: true}
	worker := Other{Name: "worker"}
	for _, c := range []struct {
		name   string
		others []Other
		may    bool
	}{
		{"one", nil, true},
		{"one, and workers that are down", []Other{worker, worker, worker}, true},
		{"two", []Other{up}, true},
		{"two, the other is down", []Other{down}, true},
		{"three", []Other{up, up}, true},
		{"three, one is down", []Other{up, down}, false},
		{"four", []Other{up, up, up}, true},
		{"four, one is down", []Other{up, up, down}, false},
		{"five, one is down", []Other{up, up, up, down}, true},
		{"five, two are down", []Other{up, up, down, down}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if why := Quorum(c.others); (why == "") != c.may {
				t.Errorf("%q", why)
			}
		})
	}
}

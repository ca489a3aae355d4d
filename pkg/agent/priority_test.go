package agent_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/fleet/sim"
)

// A priority that is no number is told of once for each value, as a warning, though nothing else is amiss.
func TestOddPriority(t *testing.T) {
	inBubble(t, func(t *testing.T, ctx context.Context) {
		s := sim.NewServer()
		m := sim.NewMachine(t, s, "a")
		m.Set(func() { m.Wanted = plan.No })
		go m.Live(ctx)
		told := func() string {
			var all []string
			m.Set(func() {
				for _, e := range m.Events {
					if strings.Contains(e, "rebootd.io/priority") {
						all = append(all, e)
					}
				}
			})
			return strings.Join(all, "\n")
		}
		for _, value := range []string{"7", "high", "high", "-3", "1.5", "high"} {
			m.Patch(fmt.Sprintf(`{"metadata":{"annotations":{"rebootd.io/priority":%q}}}`, value))
			m.Pass(3 * time.Minute)
		}
		of := func(value string) string {
			return fmt.Sprintf("Warning WaitingForTurn The annotation rebootd.io/priority=%q is no whole number, so it counts as 0.", value)
		}
		if want := of("high") + "\n" + of("1.5") + "\n" + of("high"); told() != want {
			t.Errorf("told:\n%s\nwant:\n%s", told(), want)
		}
		if log := m.Logged(); !strings.Contains(log, "level=warning") || strings.Count(log, "is no whole number") != 3 {
			t.Errorf("logged:\n%s", log)
		}
	})
}

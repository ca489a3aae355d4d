package monitoring

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Every metric that a query, a rule or the manual names is one that agents serve.
func TestMetricsAreServed(t *testing.T) {
	t.Parallel()
	served, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{files + "dashboard.json", files + "alerts.yaml", "../../docs/runbooks.md", "../../docs/monitoring.md", "../../docs/operations.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\b(rebootd|kured)_[a-z_]+\b`).FindAllString(string(text), -1) {
			name = strings.TrimSuffix(name, "_bucket")
			if !strings.Contains(string(served), "| `"+name+"` |") {
				t.Errorf("%s names %s, which no agent serves", file, name)
			}
		}
	}
}

func TestDashboardNamesEveryPhase(t *testing.T) {
	t.Parallel()
	_, text := readDashboard(t)
	for i, p := range plan.Phases() {
		if !strings.Contains(text, fmt.Sprintf(`phase=\"%s\"} == 1) * %d`, p, i)) || !strings.Contains(text, fmt.Sprintf(`"text": %q`, p)) {
			t.Errorf("phase %s", p)
		}
	}
}

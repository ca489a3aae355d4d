package tell

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

// Option is one option as it is in effect.
type Option struct{ Name, Value, Source string }

// valueLimit bounds the bytes of a label.
const valueLimit = 200

// Configured notes what the agent runs with. Secrets must be masked. The own are the names of options that tell one node from
// another.
func (m *Metrics) Configured(options []Option, own ...string) {
	sum := sha256.New()
	for _, o := range options {
		if !slices.Contains(own, o.Name) {
			_, _ = fmt.Fprintf(sum, "%d %s=%d %s\n", len(o.Name), o.Name, len(o.Value), o.Value) // a hash.Hash never returns an error
		}
		if o.Source == "default" {
			continue
		}
		value := strings.ToValidUTF8(plan.Clip(o.Value, valueLimit), "")
		m.options.WithLabelValues(o.Name, value, o.Source).Set(1)
	}
	m.config.WithLabelValues(hex.EncodeToString(sum.Sum(nil))[:12]).Set(1)
}

// Windows notes what to ask for the maintenance windows. It must be called before the first look.
func (m *Metrics) Windows(at func(time.Time) Opening) {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	m.state.windows = at
}

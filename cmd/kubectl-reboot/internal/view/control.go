package view

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/circuit"
	"github.com/rebootd/rebootd/pkg/pause"
)

// Pause is a pause that is on.
type Pause struct {
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	// Unreadable is what is wrong with the ConfigMap.
	Unreadable string `json:"unreadable,omitempty"`
}

// newPause is nil when reboots are not paused.
func newPause(m *corev1.ConfigMap, now time.Time) *Pause {
	w, err := pause.Read(m)
	switch {
	case err != nil:
		return &Pause{Unreadable: err.Error()}
	case !w.On(now):
		return nil
	}
	return &Pause{Reason: w.Reason, Until: w.Until}
}

// String is one sentence.
func (p *Pause) String() string {
	if p.Unreadable != "" {
		return fmt.Sprintf("Whether reboots are paused can't be known: ConfigMap %s: %s.", pause.ConfigMap, p.Unreadable)
	}
	text := "Reboots are paused"
	if !p.Until.IsZero() {
		text += " until " + Stamp(p.Until)
	}
	if p.Reason != "" {
		text += ": " + strings.TrimSuffix(p.Reason, ".")
	}
	return text + "."
}

// Breaker is what stopped the whole cluster, or may do so soon.
type Breaker struct {
	Open   bool      `json:"open"`
	Opened time.Time `json:"opened,omitzero"`
	// Expired is whether it was open, and --circuit-reset has closed it.
	Expired  bool              `json:"expired,omitempty"`
	Failures []circuit.Failure `json:"failures,omitempty"`
	// Unreadable is what is wrong with the ConfigMap.
	Unreadable string `json:"unreadable,omitempty"`

	text string
}

// NewBreaker is nil when the circuit is closed and nothing has failed.
func NewBreaker(m *corev1.ConfigMap) *Breaker {
	if m == nil {
		return nil
	}
	s, err := circuit.Parse(m.Data)
	switch {
	case err != nil:
		return &Breaker{Unreadable: err.Error()}
	case len(s.Failures) == 0 && s.Opened.IsZero():
		return nil
	}
	return &Breaker{Open: !s.Opened.IsZero(), Opened: s.Opened, Failures: s.Failures, text: s.String()}
}

// after closes a circuit that was open for so long; 0: only a person closes it.
func (b *Breaker) after(reset time.Duration, now time.Time) *Breaker {
	if b != nil && b.Open && reset > 0 && !now.Before(b.Opened.Add(reset)) {
		b.Open, b.Expired = false, true
	}
	return b
}

// String is one sentence.
func (b *Breaker) String() string {
	switch {
	case b.Expired:
		return fmt.Sprintf("The circuit was open from %s on, and --circuit-reset has closed it; failed in a row: %s.", Stamp(b.Opened), b.text)
	case b.Unreadable != "":
		return fmt.Sprintf("Whether the circuit is open can't be known: ConfigMap %s: %s.", circuit.Name, b.Unreadable)
	case b.Open:
		return fmt.Sprintf("The circuit is open since %s, so no node of the cluster reboots; failed in a row: %s.", Stamp(b.Opened), b.text)
	}
	return fmt.Sprintf("Failed after their reboot command, in a row so far: %s.", b.text)
}

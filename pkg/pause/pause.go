// Package pause reads what people write to hold back the reboots of a whole cluster: agents obey it, the plugin writes and shows it.
package pause

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// ConfigMap is the name of what people write; agents only read it. Its keys are these.
const (
	ConfigMap = "rebootd-control"
	PausedKey = "paused"
	ReasonKey = "reason"
	UntilKey  = "until"
)

// Word is what a person wrote. Its zero value: nothing is paused.
type Word struct {
	Paused bool
	// Reason is one line.
	Reason string
	// Until is when the pause ends by itself; zero: it doesn't.
	Until time.Time
}

// On reports whether reboots are paused at that time.
func (w Word) On(at time.Time) bool { return w.Paused && (w.Until.IsZero() || at.Before(w.Until)) }

// Read reads strictly: what looks like a pause and isn't written as one must not be taken for none. Nil is no pause.
func Read(m *corev1.ConfigMap) (Word, error) {
	if m == nil || len(m.Data) == 0 && len(m.BinaryData) == 0 {
		return Word{}, nil
	}
	for _, key := range slices.Sorted(maps.Keys(m.BinaryData)) {
		return Word{}, fmt.Errorf("key %s is no text in UTF-8", key)
	}
	for _, key := range slices.Sorted(maps.Keys(m.Data)) {
		if key != PausedKey && key != ReasonKey && key != UntilKey {
			return Word{}, fmt.Errorf("key %s isn't known: only paused, reason and until are", key)
		}
	}
	paused, said := m.Data[PausedKey]
	switch strings.TrimSpace(paused) {
	case "false":
		return Word{}, nil
	case "true":
	default:
		if !said {
			return Word{}, errors.New(`key paused is missing: "true" or "false"`)
		}
		return Word{}, fmt.Errorf(`key paused is %q: only "true" or "false" is allowed`, oneLine(paused))
	}
	w := Word{Paused: true, Reason: oneLine(m.Data[ReasonKey])}
	if text := strings.TrimSpace(m.Data[UntilKey]); text != "" {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return Word{}, fmt.Errorf("key until is %q: only a time such as 2030-01-31T18:00:00Z or 2030-01-31T18:00:00+02:00 is allowed", oneLine(text))
		}
		w.Until = at
	}
	return w, nil
}

// oneLine makes one line of bounded length of what a person wrote.
func oneLine(text string) string {
	const most = 200 // bytes
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

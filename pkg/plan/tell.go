package plan

import (
	"fmt"
	"strings"
)

const (
	// messageLimit and wishLimit bound the bytes of what the condition says, and of the part of it that says who asks.
	messageLimit = 1500
	wishLimit    = 700
)

// InFull is a message as the Node's condition says it: besides what the node waits for, when the next window opens if
// that is another matter, since when a reboot is wanted, and who or which packages asked for it. The record is the one that
// stands on the Node with it.
func InFull(o Observation, r Record, message string) string {
	parts := []string{Clip(message, messageLimit)}
	if r.Phase == Required {
		if v, closed := window(o); closed && !strings.Contains(message, v.Message) {
			parts = append(parts, Clip(v.Message, wishLimit))
		}
	}
	if wish := wanted(o, r, message); wish != "" {
		parts = append(parts, wish)
	}
	for i, part := range parts[:len(parts)-1] {
		parts[i] = ended(part)
	}
	return strings.Join(parts, " ")
}

// ended is a text with a mark at its end: another sentence follows. What a server or a library said has none.
func ended(text string) string {
	text = strings.TrimRight(text, " ")
	if text == "" || strings.HasSuffix(text, "…") || strings.ContainsAny(text[len(text)-1:], ".!?") {
		return text
	}
	return text + "."
}

// wanted says since when a reboot is wanted, and by whom; nothing while none is.
func wanted(o Observation, r Record, message string) string {
	since := ""
	if !r.RequiredSince.IsZero() {
		since = " since " + stamp(r.RequiredSince)
	}
	switch {
	case o.Wanted.Answer == Yes && strings.Contains(message, o.Wanted.Message):
		if since == "" {
			return ""
		}
		return fmt.Sprintf("It has been wanted%s.", since)
	case o.Wanted.Answer == Yes:
		return fmt.Sprintf("A reboot is wanted%s: %s", since, Clip(o.Wanted.Message, wishLimit))
	case o.Wanted.Answer == Unknown && since != "" && len(r.AskedBy) > 0:
		return fmt.Sprintf("A reboot was wanted%s, by %s.", since, Clip(strings.Join(r.AskedBy, ", "), wishLimit))
	}
	return ""
}

// window is the gate that is closed because of the time of day.
func window(o Observation) (Verdict, bool) {
	for _, v := range o.Gates {
		if !v.Open && (v.Reason == OutsideWindow || v.Reason == Frozen) && (!v.Skippable || !o.Wanted.Now) {
			return v, true
		}
	}
	return Verdict{}, false
}

// story is what the Node says of its last reboot.
func story(r Record, now Reboot) string {
	text := fmt.Sprintf("Rebooted and in service again at %s, after %s out of service", stamp(now.In), rounded(now.Out, now.In))
	if !now.Drained.IsZero() && !now.Up.IsZero() {
		text += fmt.Sprintf(" (drain %s, reboot %s)", rounded(now.Out, now.Drained), rounded(now.Drained, now.Up))
	}
	text += "."
	if len(now.By) > 0 {
		text += fmt.Sprintf(" Asked for by %s", Clip(strings.Join(now.By, ", "), wishLimit))
		if !r.RequiredSince.IsZero() {
			text += ", since " + stamp(r.RequiredSince)
		}
		text += "."
	}
	if !now.Ours {
		text += " It was not rebootd that ordered this reboot."
	}
	return text
}

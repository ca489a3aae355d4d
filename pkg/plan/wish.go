package plan

import "strings"

// Join is the wish of several sentinels: yes if any says yes, else unknown if any can't say, else no.
func Join(wishes []Wanted) Wanted {
	best := Wanted{Answer: No, Reason: NotRequired, Message: "Nothing asks for a reboot."}
	var messages []string
	for _, w := range wishes {
		switch {
		case rank(w.Answer) > rank(best.Answer):
			best, messages = w, []string{w.Message}
		case w.Answer == best.Answer && w.Answer != No:
			messages = append(messages, w.Message)
		}
	}
	if len(messages) > 0 {
		best.Message = strings.Join(messages, " ")
	}
	return best
}

func rank(a Answer) int {
	switch a {
	case Yes:
		return 2
	case Unknown:
		return 1
	default:
		return 0
	}
}

package plan

import (
	"fmt"
	"strings"
)

// Join is the wish of several sentinels: yes if any says yes, else unknown if any can't say, else no.
func Join(wishes []Wanted) Wanted {
	best := Wanted{Answer: No, Reason: NotRequired}
	var messages []string
	for _, w := range wishes {
		if !w.At.IsZero() && (best.At.IsZero() || w.At.Before(best.At)) {
			best.At = w.At
		}
		if rank(w.Answer) > rank(best.Answer) {
			best = Wanted{Answer: w.Answer, Reason: w.Reason, At: best.At}
			messages = nil
		}
		if w.Answer == best.Answer {
			messages = append(messages, w.Message)
			best.By = append(best.By, w.By...)
			best.Packages = append(best.Packages, w.Packages...)
			best.Now = best.Now || w.Now
		}
	}
	if best.Message = strings.Join(messages, " "); best.Answer == No {
		best.Message = nothing(best.By)
	}
	return best
}

// nothing says what was looked at in vain.
func nothing(by []string) string {
	if len(by) == 0 {
		return "Nothing asks for a reboot."
	}
	return fmt.Sprintf("Nothing asks for a reboot (looked at: %s).", strings.Join(by, "; "))
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

package show

import (
	"slices"
	"strings"
)

// Excerpt is what `kubectl describe node` says that belongs to a reboot: two of the conditions, and
// rebootd's Events.
func Excerpt(described string) string {
	var kept []string
	section := ""
	for line := range strings.Lines(described) {
		line = strings.TrimRight(line, " \n")
		if line != "" && line[0] != ' ' {
			section, _, _ = strings.Cut(line, ":")
			if section == "Name" || section == "Unschedulable" || section == "Conditions" || section == "Events" {
				kept = append(kept, line)
			}
			continue
		}
		fields := strings.Fields(line)
		heading := len(fields) > 0 && (fields[0] == "Type" || strings.HasPrefix(fields[0], "----"))
		switch section {
		case "Conditions":
			if heading || slices.Contains([]string{conditionType, "Ready"}, first(fields)) {
				kept = append(kept, line)
			}
		case "Events":
			if heading || slices.Contains(fields, "rebootd") {
				kept = append(kept, line)
			}
		}
	}
	return strings.Join(kept, "\n") + "\n"
}

func first(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}

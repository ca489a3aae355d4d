package plan

import "strings"

// OneLine makes one line of a text that may have several, or odd white space.
func OneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// Clip bounds a text to so many bytes, and shows that something is missing.
func Clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}

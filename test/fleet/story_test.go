package fleet

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// story is what happened in one run, for the one who has to understand why it failed.
type story struct {
	began time.Time

	mu    sync.Mutex
	lines []string
	wrong []string
}

// tell adds a line. It may be called from anywhere in the bubble.
func (s *story) tell(who, format string, args ...any) {
	at := time.Since(s.began)
	line := fmt.Sprintf("%02d:%02d:%02d.%03d %-5s %s", int(at.Hours()), int(at.Minutes())%60, int(at.Seconds())%60,
		at.Milliseconds()%1000, who, fmt.Sprintf(format, args...))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

// fail says what is wrong. The run ends soon after.
func (s *story) fail(who, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.tell(who, "WRONG: %s", text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = append(s.wrong, who+": "+text)
}

func (s *story) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.wrong) > 0
}

// text is the end of the story.
func (s *story) text(lines int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := s.lines
	if left := len(shown) - lines; lines > 0 && left > 0 {
		shown = append([]string{fmt.Sprintf("… %d lines before …", left)}, shown[left:]...)
	}
	return strings.Join(shown, "\n")
}

package hook

import (
	"context"
	"fmt"
	"strings"
)

const (
	// lastLines of a failing command's output are told, each up to longestLine bytes.
	lastLines   = 3
	longestLine = 200
)

// Runner runs a command line to its end on the machine, with these variables added to its environment. Of the output, the
// end is enough.
type Runner func(ctx context.Context, argv, env []string) (output string, err error)

// Command is a hook that succeeds when the command exits with 0.
func Command(argv []string, run Runner) func(context.Context, Facts) error {
	return func(ctx context.Context, f Facts) error {
		output, err := run(ctx, argv, f.Environ())
		if err == nil {
			return nil
		}
		if last := tail(output); last != "" {
			return fmt.Errorf("%w; it said: %s", err, last)
		}
		return err
	}
}

// tail is the last lines that say something.
func tail(output string) string {
	var lines []string
	for line := range strings.Lines(output) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, shorten(line, longestLine))
		}
	}
	return strings.Join(lines[max(0, len(lines)-lastLines):], " / ")
}

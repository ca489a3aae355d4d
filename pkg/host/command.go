package host

import (
	"errors"
	"fmt"

	"github.com/kballard/go-shellquote"
)

// ParseCommand splits a command line into words as a shell would: single quotes, double quotes and
// backslashes quote. Nothing is expanded: $, *, #, |, ; and their like are ordinary characters, and
// who needs them writes sh -c '…'. An unterminated quote is an error, and so is a command without a name.
func ParseCommand(s string) ([]string, error) {
	argv, err := shellquote.Split(s)
	switch {
	case errors.Is(err, shellquote.UnterminatedSingleQuoteError):
		return nil, fmt.Errorf("command %q: a single quote isn't closed", s)
	case errors.Is(err, shellquote.UnterminatedDoubleQuoteError):
		return nil, fmt.Errorf("command %q: a double quote isn't closed", s)
	case errors.Is(err, shellquote.UnterminatedEscapeError):
		return nil, fmt.Errorf("command %q: nothing follows the last backslash", s)
	case err != nil:
		return nil, fmt.Errorf("command %q: %w", s, err)
	case len(argv) == 0:
		return nil, errors.New("the command is empty")
	case argv[0] == "":
		return nil, fmt.Errorf("command %q: the name is empty", s)
	}
	return argv, nil
}

// Quote writes argv as a command line that ParseCommand splits into the same words.
func Quote(argv []string) string {
	return shellquote.Join(argv...)
}

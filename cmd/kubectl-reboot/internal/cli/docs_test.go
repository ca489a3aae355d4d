package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/rebootd/rebootd/test/docs/page"
)

// What the pages say of this plugin's commands is so: each is there, and knows its flags and the number of its arguments.
func TestDocsCommands(t *testing.T) {
	_, commands, err := page.Read("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, c := range commands {
		if len(c.Words) < 3 || c.Words[0] != "kubectl" || c.Words[1] != "reboot" || c.Words[2] == page.Unknown {
			continue
		}
		seen++
		if why := refused(c.Words[2:]); why != "" {
			t.Errorf("%s: %s: %s", c.Where, strings.Join(c.Words, " "), why)
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands were found", seen)
	}
	for _, wrong := range []string{"statu", "status --no", "release", "explain a b", "pause now"} {
		if refused(strings.Fields(wrong)) == "" {
			t.Errorf("nothing is said to be wrong with %q", wrong)
		}
	}
}

// refused says what is wrong with a command line; "" if nothing is.
func refused(args []string) string {
	root := New(&Env{})
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err.Error()
	}
	if cmd == root && !strings.HasPrefix(args[0], "-") {
		return "there is no such command"
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err.Error()
	}
	if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		return "there is no such command"
	}
	return problem(cmd)
}

func problem(cmd *cobra.Command) string {
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err.Error()
	}
	return ""
}

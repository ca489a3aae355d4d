package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The reference of docs/plugin.md: every command with its own flags, from cobra.
func TestReference(t *testing.T) {
	var b strings.Builder
	describe(t, &b, New(&Env{}))
	golden(t, "reference.md", b.String())
}

func describe(t *testing.T, b *strings.Builder, cmd *cobra.Command) {
	t.Helper()
	for _, c := range cmd.Commands() {
		if c.Name() == "help" || c.Hidden {
			continue
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") || c.Example == "" || c.ValidArgsFunction == nil {
			t.Errorf("%s: short %q, example %q, or no completion", c.CommandPath(), c.Short, c.Example)
		}
		fmt.Fprintf(b, "### %s\n\n", c.CommandPath())
		text := c.Long
		if text == "" {
			text = c.Short + "."
		}
		fmt.Fprintf(b, "%s\n\n```sh\n%s\n```\n", text, strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
		var rows []string
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			// What all commands with -o have is said once, on the page.
			if f.Hidden || slices.Contains([]string{"help", "allow-missing-template-keys", "show-managed-fields", "template"}, f.Name) {
				return
			}
			name := "`--" + f.Name + "`"
			if f.Shorthand != "" {
				name = "`-" + f.Shorthand + "`, " + name
			}
			rows = append(rows, fmt.Sprintf("| %s | %s |", name, strings.ReplaceAll(f.Usage, "|", `\|`)))
		})
		if len(rows) > 0 {
			fmt.Fprintf(b, "\n| flag | meaning |\n|---|---|\n%s\n", strings.Join(rows, "\n"))
		}
		b.WriteString("\n")
		describe(t, b, c)
	}
}

// Command chart writes what is made from the option table: the options in the chart's values.yaml, its schema, its list of
// flags and its README; and manifests/, which is rendered from the chart. With -check it writes nothing and fails if one
// is out of date.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/rebootd/rebootd/pkg/config"
)

const chartDir = "charts/rebootd"

func main() {
	check := flag.Bool("check", false, "write nothing; fail if something is out of date")
	flag.Parse()
	if err := run(context.Background(), *check); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run works in the repository's root.
func run(ctx context.Context, check bool) error {
	made, err := chart(".", config.Describe())
	if err == nil {
		err = settle(made, check)
	}
	if err != nil {
		return err
	}
	made, err = manifests(ctx, ".")
	if err != nil {
		return err
	}
	return settle(made, check)
}

// settle writes the files, by path, that differ, or with check says which.
func settle(made map[string][]byte, check bool) error {
	for _, path := range slices.Sorted(maps.Keys(made)) {
		old, err := os.ReadFile(path)
		switch {
		case err == nil && bytes.Equal(old, made[path]):
		case check:
			return fmt.Errorf("%s is out of date: run make chart", path)
		default:
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, made[path], 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// chart makes the generated files of the chart that is in the repository at root.
func chart(root string, table []config.Section) (map[string][]byte, error) {
	dir := filepath.Join(root, chartDir)
	sections := charted(table)
	values, err := os.ReadFile(filepath.Join(dir, "values.yaml"))
	if err != nil {
		return nil, err
	}
	if values, err = valuesFile(values, sections); err != nil {
		return nil, err
	}
	options, err := optionsFile(sections)
	if err != nil {
		return nil, err
	}
	base, err := os.ReadFile(filepath.Join(root, "test/chart/schema.yaml"))
	if err != nil {
		return nil, err
	}
	schema, err := schemaFile(base, sections)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, "test/chart/readme.md"))
	if err != nil {
		return nil, err
	}
	readme, err := readmeFile(text, values, sections)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		filepath.Join(dir, "values.yaml"):        values,
		filepath.Join(dir, "files/options.yaml"): options,
		filepath.Join(dir, "values.schema.json"): schema,
		filepath.Join(dir, "README.md"):          readme,
	}, nil
}

//go:build !race

package plan

const sampled = 1

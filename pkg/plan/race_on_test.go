//go:build race

package plan

// sampled is how many combinations are passed over for one that is looked at: the race detector finds nothing in pure code, but
// makes it several times slower. Without it all of them are.
const sampled = 11

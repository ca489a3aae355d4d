// Package node reads and writes this machine's own Node object: the record, the label, the condition, and
// the cordon. It decides nothing. Its subpackage drain empties the node of pods.
package node

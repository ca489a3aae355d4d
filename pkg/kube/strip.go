package kube

import "encoding/binary"

// Fields of a Node in protobuf that may be most of it, and that nobody here looks at.
const (
	nodeMetadata, nodeStatus = 1, 3
	metaLabels, metaNotes    = 11, 12 // of the metadata: labels, annotations
	managedFields            = 17     // of the metadata
	statusImages             = 8      // of the status
)

// stripper leaves out of a Node, or of its metadata alone, what nobody looks at: managed fields, images, and the labels and annotations that keep says no
// to; nil keeps them all. They are most of it, and take most of the memory and the time to read.
type stripper struct {
	keep func(key string) bool
	part []byte // used again for each Node
}

// strip appends to into what is left. What isn't understood stays as it is, for the decoder to judge.
func (s *stripper) strip(into, raw []byte) []byte {
	return each(raw, into, func(into []byte, number uint64, whole, inner []byte) []byte {
		if number != nodeMetadata && number != nodeStatus {
			return append(into, whole...)
		}
		kept := each(inner, s.part[:0], func(kept []byte, field uint64, whole, inner []byte) []byte {
			switch {
			case number == nodeMetadata && field == managedFields, number == nodeStatus && field == statusImages:
				return kept
			case number == nodeMetadata && (field == metaLabels || field == metaNotes) && s.keep != nil:
				if key, ok := entryKey(inner); ok && !s.keep(key) {
					return kept
				}
			}
			return append(kept, whole...)
		})
		s.part = kept
		into = binary.AppendUvarint(into, number<<3|lengthed)
		into = binary.AppendUvarint(into, uint64(len(kept)))
		return append(into, kept...)
	})
}

// entryKey is the key of an entry of a map: its first field, as every encoder writes it.
func entryKey(entry []byte) (string, bool) {
	const keyTag = 1<<3 | lengthed
	if len(entry) < 2 || entry[0] != keyTag {
		return "", false
	}
	size, n := binary.Uvarint(entry[1:])
	if n <= 0 || size > uint64(len(entry)-1-n) {
		return "", false
	}
	return string(entry[1+n:][:size]), true
}

// each calls do for each field of a message that has a length, with all of it and what is in it; all else is appended as it is.
func each(raw, into []byte, do func(into []byte, number uint64, whole, inner []byte) []byte) []byte {
	for len(raw) > 0 {
		tag, n := binary.Uvarint(raw)
		size, m := binary.Uvarint(raw[max(n, 0):])
		end := uint64(n + m)
		if n <= 0 || m <= 0 || tag&7 != lengthed && tag&7 != varint || tag&7 == lengthed && size > uint64(len(raw))-end {
			return append(into, raw...)
		}
		if tag&7 == varint {
			into = append(into, raw[:end]...)
		} else {
			end += size
			into = do(into, tag>>3, raw[:end], raw[end-size:end])
		}
		raw = raw[end:]
	}
	return into
}

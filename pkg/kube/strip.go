package kube

import "encoding/binary"

// Fields of a Node in protobuf that may be most of it, and that nobody here looks at.
const (
	nodeMetadata, nodeStatus = 1, 3
	managedFields            = 17 // of the metadata
	statusImages             = 8  // of the status
)

// strip leaves the managed fields and the images out of a Node, or of its metadata alone: they are most of it, and take most of the time to read. What
// isn't understood stays as it is, for the decoder to judge. It appends to into.
func strip(into, raw []byte) []byte {
	return each(raw, into, func(into []byte, number uint64, whole, inner []byte) []byte {
		drop := uint64(0)
		switch number {
		case nodeMetadata:
			drop = managedFields
		case nodeStatus:
			drop = statusImages
		default:
			return append(into, whole...)
		}
		kept := each(inner, nil, func(kept []byte, number uint64, whole, _ []byte) []byte {
			if number == drop {
				return kept
			}
			return append(kept, whole...)
		})
		into = binary.AppendUvarint(into, number<<3|lengthed)
		into = binary.AppendUvarint(into, uint64(len(kept)))
		return append(into, kept...)
	})
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

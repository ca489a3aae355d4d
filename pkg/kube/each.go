package kube

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// EachNode calls take for each Node of a consistent list, in one request, and never has more than one of them in memory: there may be thousands, of
// some ten kilobytes. take doesn't keep what it is given. Images and managed fields are left out, and labels and annotations as Keeping says.
func (c *Client) EachNode(ctx context.Context, o metav1.ListOptions, take func(*corev1.Node)) error {
	return c.each(ctx, o, runtime.ContentTypeProtobuf, stripped(c.keep, take))
}

// Keeping is this client, but EachNode and EachNodeMetadata leave out all labels and annotations whose keys aren't kept.
func (c *Client) Keeping(keep func(key string) bool) *Client {
	own := *c
	own.keep = keep
	return &own
}

// EachNodeMetadata is EachNode for the metadata alone.
func (c *Client) EachNodeMetadata(ctx context.Context, o metav1.ListOptions, take func(*metav1.PartialObjectMetadata)) error {
	return c.each(ctx, o, runtime.ContentTypeProtobuf+";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", stripped(c.keep, take))
}

// CountNodes is how many Nodes a selector matches, in one consistent read. Of all Nodes it reads one: the API server says how many more there are,
// exactly, where nothing is selected. (The field remainingItemCount is documented as an estimate; etcd counts it at the list's own version.)
func (c *Client) CountNodes(ctx context.Context, selector string) (int, error) {
	if selector == "" {
		list, err := c.Nodes().List(ctx, metav1.ListOptions{Limit: 1})
		switch {
		case err != nil:
			return 0, err
		case list.Continue == "":
			return len(list.Items), nil
		case list.RemainingItemCount != nil:
			return len(list.Items) + int(*list.RemainingItemCount), nil
		}
	}
	n := 0
	err := c.EachNodeMetadata(ctx, metav1.ListOptions{LabelSelector: selector}, func(*metav1.PartialObjectMetadata) { n++ })
	return n, err
}

// message is a pointer to an object of type T that can be read from protobuf.
type message[T any] interface {
	*T
	Unmarshal(raw []byte) error
}

// stripped reads what is left of an item when that was left out which nobody looks at, and hands it to take.
func stripped[T any, P message[T]](keep func(key string) bool, take func(P)) func(raw []byte) error {
	var short []byte
	s := stripper{keep: keep}
	return func(raw []byte) error {
		item := P(new(T))
		short = s.strip(short[:0], raw)
		err := item.Unmarshal(short)
		if err == nil {
			take(item)
		}
		return err
	}
}

func (c *Client) each(ctx context.Context, o metav1.ListOptions, accept string, take func(raw []byte) error) error {
	body, err := c.core.Get().Resource("nodes").VersionedParams(&o, c.codec).SetHeader("Accept", accept).Stream(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	return eachItem(bufio.NewReader(body), take)
}

// The wire format: a magic number, a runtime.Unknown in protobuf, and in its field "raw" the list, whose items are field 2.
const (
	unknownRaw = 2
	listItems  = 2
	// largestItem bounds what is believed of a length; the API server's own limit for an object is below 2 MB.
	largestItem = 8 << 20
)

// The wire types of protobuf.
const varint, fixed64, lengthed, fixed32 = 0, 1, 2, 5

var errNoList = errors.New("the answer is no list in protobuf")

// eachItem reads a list and hands out its items one by one. The bytes are only good until the next.
func eachItem(r *bufio.Reader, take func(raw []byte) error) error {
	magic := []byte{'k', '8', 's', 0}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(r, head); err != nil || !bytes.Equal(head, magic) {
		return errors.Join(errNoList, err)
	}
	var item []byte
	found := false
	err := fields(r, func(number uint64, size int64) error {
		if number != unknownRaw {
			return skip(r, size)
		}
		found = true
		rest := &io.LimitedReader{R: r, N: size}
		list := bufio.NewReader(rest)
		err := fields(list, func(number uint64, size int64) error {
			switch {
			case number != listItems:
				return skip(list, size)
			case size > largestItem:
				return fmt.Errorf("%w: an item of %d bytes", errNoList, size)
			}
			if int64(cap(item)) < size {
				item = make([]byte, size)
			}
			item = item[:size]
			if _, err := io.ReadFull(list, item); err != nil {
				return cut(err)
			}
			return take(item)
		})
		if err == nil && rest.N > 0 {
			err = cut(io.EOF)
		}
		return err
	})
	if err == nil && !found {
		err = errNoList
	}
	return err
}

// fields calls do for each field that has a length, which reads or skips what is in it; others are passed over.
func fields(r *bufio.Reader, do func(number uint64, size int64) error) error {
	for {
		tag, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return cut(err)
		}
		switch tag & 7 {
		case varint:
			_, err = binary.ReadUvarint(r)
		case fixed64:
			err = skip(r, 8)
		case fixed32:
			err = skip(r, 4)
		case lengthed:
			var size uint64
			if size, err = binary.ReadUvarint(r); err == nil && int64(size) < 0 {
				err = errNoList
			}
			if err == nil {
				err = do(tag>>3, int64(size))
			}
		default:
			err = fmt.Errorf("%w: wire type %d", errNoList, tag&7)
		}
		if err != nil {
			return cut(err)
		}
	}
}

func skip(r io.Reader, size int64) error {
	_, err := io.CopyN(io.Discard, r, size)
	return cut(err)
}

// cut is the error of an answer that ends too early.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the answer is cut off: %w", io.ErrUnexpectedEOF)
	}
	return err
}

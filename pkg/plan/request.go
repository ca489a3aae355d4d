package plan

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
)

const (
	// honouredLimit bounds the requests that a record remembers.
	honouredLimit = 10
	// requestLimit and byLimit bound the bytes of one request, and of one name of who asked, in the record.
	requestLimit = 100
	byLimit      = 200
)

// Request is a person's, or a tool's, wish for a reboot: an annotation on the Node. Each text is honoured once.
type Request struct {
	Text string `json:"text"`
	// Now is whether it is a request-now, which goes past the gates that are Skippable.
	Now bool `json:"now,omitempty"`
}

// key is the request as a record remembers it.
func (q Request) key() Request {
	if len(q.Text) > requestLimit {
		h := fnv.New64a()
		_, _ = h.Write([]byte(q.Text)) // a hash.Hash never returns an error
		q.Text = fmt.Sprintf("%s… (%x)", strings.ToValidUTF8(q.Text[:requestLimit/2], ""), h.Sum64())
	}
	return q
}

func (q Request) kind() string {
	if q.Now {
		return "request-now"
	}
	return "request"
}

func (q Request) wish() Wanted {
	text := q.key().Text
	message := fmt.Sprintf("A reboot is requested by annotation rebootd.io/%s=%q.", q.kind(), text)
	if q.Now {
		message += " It goes past windows and alerts."
	}
	return Wanted{Answer: Yes, Reason: RebootRequested, Message: message, Now: q.Now, By: []string{fmt.Sprintf("%s %q", q.kind(), text)}}
}

// HasHonoured reports whether the machine has rebooted for this request.
func (r Record) HasHonoured(q Request) bool { return slices.Contains(r.Honoured, q.key()) }

// Requested is the wish of the requests that the Node carries and that were not honoured yet.
func Requested(n Node, r Record) Wanted {
	wishes := []Wanted{{Answer: No, Reason: NotRequired, Message: "No reboot is requested."}}
	for _, q := range n.Requests {
		if !r.HasHonoured(q) {
			wishes = append(wishes, q.wish())
		}
	}
	return Join(wishes)
}

// asked is the record with what asks for the reboot now. It is kept up to date until the machine goes down: a request that
// comes later asks for another reboot.
func (r Record) asked(o Observation) Record {
	switch r.Phase {
	case Required, Drain, Rebooting, Idle:
	default:
		return r
	}
	if r.Phase == Required && len(r.Requests) == 0 {
		r.BootID = o.BootID // it may have rebooted while it waited
	}
	if o.Wanted.Answer != Yes {
		return r
	}
	r.AskedBy, r.Requests = nil, nil
	for _, by := range o.Wanted.By {
		r.AskedBy = append(r.AskedBy, Clip(by, byLimit))
	}
	for _, q := range o.Node.Requests {
		if !r.HasHonoured(q) {
			r.Requests = append(r.Requests, q.key())
		}
	}
	return r
}

// honour is the record after the reboot that its requests asked for.
func (r Record) honour(n Node) Record {
	if len(r.Requests) == 0 {
		return r
	}
	carried := func(q Request) bool {
		return slices.ContainsFunc(n.Requests, func(p Request) bool { return p.key() == q })
	}
	var earlier, still []Request
	for _, q := range r.Honoured {
		switch {
		case slices.Contains(r.Requests, q):
		case carried(q):
			still = append(still, q)
		default:
			earlier = append(earlier, q)
		}
	}
	r.Honoured = slices.Concat(earlier, still, r.Requests)
	if extra := len(r.Honoured) - honouredLimit; extra > 0 {
		r.Honoured = r.Honoured[extra:]
	}
	r.Requests = nil
	return r
}

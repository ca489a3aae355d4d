package kube

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// Objects is the client of one kind, in one namespace or in all, with the methods of client-go's typed clients. (Their generic part brings what it
// takes to fake an API server along.)
type Objects[T, L any, P object[T], PL list[L]] struct {
	rest      rest.Interface
	codec     runtime.ParameterCodec
	resource  string
	namespace string
}

// object is a pointer to an object of type T, list one to a list of type L.
type (
	object[T any] interface {
		*T
		runtime.Object
		metav1.Object
	}
	list[L any] interface {
		*L
		runtime.Object
	}
)

func (o Objects[T, L, P, PL]) request(r *rest.Request) *rest.Request {
	return r.NamespaceIfScoped(o.namespace, o.namespace != "").Resource(o.resource)
}

func (o Objects[T, L, P, PL]) one(ctx context.Context, r *rest.Request) (P, error) {
	found := P(new(T))
	if err := r.Do(ctx).Into(found); err != nil {
		return nil, err
	}
	return found, nil
}

// Get reads one object.
func (o Objects[T, L, P, PL]) Get(ctx context.Context, name string, opts metav1.GetOptions) (P, error) {
	return o.one(ctx, o.request(o.rest.Get()).Name(name).VersionedParams(&opts, o.codec))
}

// List lists objects. It never returns nil.
func (o Objects[T, L, P, PL]) List(ctx context.Context, opts metav1.ListOptions) (PL, error) {
	found := PL(new(L))
	return found, o.request(o.rest.Get()).VersionedParams(&opts, o.codec).Do(ctx).Into(found)
}

// Watch watches objects. A watch that is refused isn't tried again here, for whoever watches does that, at moments that a thousand agents don't
// share: after an outage client-go would knock ten times, a second apart. Events come uncompressed: each is small, and goes to all that watch.
func (o Objects[T, L, P, PL]) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	opts.Watch = true
	return o.request(o.rest.Get()).SetHeader("Accept-Encoding", "identity").MaxRetries(0).VersionedParams(&opts, o.codec).Watch(ctx)
}

// Create makes a new object.
func (o Objects[T, L, P, PL]) Create(ctx context.Context, fresh P, opts metav1.CreateOptions) (P, error) {
	return o.one(ctx, o.request(o.rest.Post()).VersionedParams(&opts, o.codec).Body(fresh))
}

// Update replaces an object.
func (o Objects[T, L, P, PL]) Update(ctx context.Context, changed P, opts metav1.UpdateOptions) (P, error) {
	return o.one(ctx, o.request(o.rest.Put()).Name(changed.GetName()).VersionedParams(&opts, o.codec).Body(changed))
}

// Patch changes an object.
func (o Objects[T, L, P, PL]) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, sub ...string) (P, error) {
	return o.one(ctx, o.request(o.rest.Patch(pt)).Name(name).SubResource(sub...).VersionedParams(&opts, o.codec).Body(data))
}

// Delete deletes an object.
func (o Objects[T, L, P, PL]) Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error {
	return o.request(o.rest.Delete()).Name(name).Body(&opts).Do(ctx).Error()
}

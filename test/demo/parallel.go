package main

import (
	"errors"
	"sync"
)

// inParallel calls work(0) to work(n-1), all at once.
func inParallel(n int, work func(i int) error) error {
	failed := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { failed[i] = work(i) })
	}
	all.Wait()
	return errors.Join(failed...)
}

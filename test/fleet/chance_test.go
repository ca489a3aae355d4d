package fleet

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// chance is a source of random numbers that belongs to one thing, so that what happens elsewhere doesn't change it.
type chance struct{ *rand.Rand }

func newChance(seed int64, name string) chance {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return chance{rand.New(rand.NewPCG(uint64(seed), h.Sum64()))}
}

// one is true once in so many times.
func (c chance) one(in int) bool { return c.IntN(in) == 0 }

// between is a time from a up to b, to the nanosecond: hardly ever do two things happen in the same instant.
func (c chance) between(a, b time.Duration) time.Duration {
	return a + time.Duration(c.Float64()*float64(b-a))
}

func (c chance) pick(of ...time.Duration) time.Duration { return of[c.IntN(len(of))] }

// chanceByTime draws by the time, so that one number more or less doesn't change what is drawn later.
func chanceByTime(seed int64, name string) func() float64 {
	return func() float64 { return newChance(seed, fmt.Sprintf("%s %d", name, time.Now().UnixNano())).Float64() }
}

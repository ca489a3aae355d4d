//go:build !race

package fleet

// raceDetector makes everything several times slower.
const raceDetector = false

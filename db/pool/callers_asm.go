//go:build gc && !purego && (amd64 || arm64)

package pool

// callers stores the addresses that its callers return to, the innermost first and at
// most so many, and returns how many it has stored. It follows the frame pointers that
// Go's compiler keeps on these machines: a nanosecond or so for each frame, where
// [runtime.Callers] takes a few hundred. A function that was inlined has no frame of its
// own: [runtime.CallersFrames] names it all the same. A frame pointer that leads nowhere
// near, as C's may, ends the list.
//
//go:noescape
func callers(pcs *uintptr, most int) int

// Callers stores where the functions that are under way go on, the innermost first, and
// returns how many it has stored. The first ones are those between the caller and here.
func Callers(pcs []uintptr) int {
	if len(pcs) == 0 {
		return 0
	}
	return callers(&pcs[0], len(pcs))
}

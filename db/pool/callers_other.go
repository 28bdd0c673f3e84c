//go:build !gc || purego || !(amd64 || arm64)

package pool

import "runtime"

// Callers stores where the functions that are under way go on, the innermost first, and
// returns how many it has stored. The first ones are those between the caller and here.
func Callers(pcs []uintptr) int { return runtime.Callers(1, pcs) }

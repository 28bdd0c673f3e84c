//go:build !unix

package main

import "time"

// processorTime is not told here.
func processorTime() time.Duration { return 0 }

// openFiles and residentMemory are not told here.
func openFiles() uint64       { return 1 << 20 }
func residentMemory() float64 { return 0 }

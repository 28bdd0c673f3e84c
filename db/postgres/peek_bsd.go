//go:build unix && !linux

package postgres

// hangUp: only Linux tells, with bytes still to be read.
const hangUp = 0

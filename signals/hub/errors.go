package hub

import (
	"errors"
	"fmt"
)

var (
	// ErrGap is what every [GapError] is: not the end of a sequence.
	ErrGap = errors.New("hub: something was missed; read the state anew")

	// ErrSlow ends the sequence of a subscriber with the policy Disconnect that has
	// fallen too far behind.
	ErrSlow = errors.New("hub: the subscriber is too slow")

	// ErrEnded reports a sequence that was ranged over before, or whose context ended
	// before that, and a source that ended while somebody waited for it to be ready.
	ErrEnded = errors.New("hub: it has ended")
)

// GapError is an [ErrGap]: what comes after it follows what came before it with
// something missing in between.
type GapError struct {
	Missed uint64 // how many values a slow subscriber has missed; 0 when nobody knows
	Err    error  // why the source does not know what there was; nil for a slow subscriber
}

// Error says how much is missing, or why.
func (e *GapError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%v: %v", ErrGap, e.Err)
	}
	return fmt.Sprintf("%v: %d values came faster than they were read", ErrGap, e.Missed)
}

// Unwrap returns ErrGap and the reason.
func (e *GapError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrGap}
	}
	return []error{ErrGap, e.Err}
}

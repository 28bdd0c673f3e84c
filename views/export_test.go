package views

import "time"

// The bounds of a stream, for the tests that measure them.
const (
	HoldSize = holdSize
	HoldTime = holdTime
	DropSize = dropSize
)

// WithWriteTimeout shortens the deadline of a write.
func WithWriteTimeout(s StreamingResponse, d time.Duration) StreamingResponse {
	s.writeTimeout = d
	return s
}

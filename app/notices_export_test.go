package app

import "time"

// SetClock has the notices of a site that serves nothing yet look at another clock.
func (s *Site) SetClock(now func() time.Time) { s.notices.Now = now }

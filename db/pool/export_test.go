package pool

// IsUsers reports whether an address in the program is the user's, as a statement asks.
func (p *Pool) IsUsers(pc uintptr) bool { return p.places.isUsers(pc) }

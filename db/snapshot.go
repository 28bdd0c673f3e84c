package db

import "github.com/goquintet/quintet/db/pool"

// Snapshot is one alias at one moment: its numbers, who waits, its connections and
// their holders agree with each other.
type Snapshot = pool.Snapshot

// Connection is one physical connection in a [Snapshot].
type Connection = pool.Connection

// Waiter is one in a [Snapshot] who waits for a connection, or for a turn to write.
type Waiter = pool.Waiter

// What a [Connection] is doing.
const (
	Idle    = pool.Idle
	Leased  = pool.Leased
	Between = pool.Between
)

// Snapshot returns the numbers, the connections and the holders of one alias;
// nothing for one that does not exist.
func (cs *Connections) Snapshot(alias string) Snapshot {
	if d, ok := cs.databases[alias]; ok {
		return d.pool.Snapshot()
	}
	return Snapshot{}
}

package postgres

import (
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/signals/hub"
)

// ListenChecking is Listen that asks a silent server so often, and waits so long.
func ListenChecking(check, limit time.Duration, conns *db.Connections, alias string, channels ...string) hub.Source[Notification] {
	return listener{conns, alias, channels, check, limit}.run
}

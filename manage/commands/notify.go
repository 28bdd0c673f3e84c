package commands

import (
	"context"
	"errors"
	"net"
	"time"
)

// notifyManager tells a service manager how the program is: the protocol of
// sd_notify(3), one datagram. Without a socket there is none.
func notifyManager(ctx context.Context, socket, state string) error {
	if socket == "" {
		return nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unixgram", socket)
	if err != nil {
		return err
	}
	err = conn.SetWriteDeadline(time.Now().Add(time.Second)) // one that does not read must not stop us
	if err == nil {
		_, err = conn.Write([]byte(state))
	}
	return errors.Join(err, conn.Close())
}

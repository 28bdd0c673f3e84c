package postgres_test

import (
	"database/sql/driver"
	"net"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

func TestConnect_SetsKeepaliveAndTheUserTimeout(t *testing.T) {
	t.Parallel()
	type sockopts struct{ idle, interval, count, timeout, on int }
	for name, tt := range map[string]struct {
		options map[string]string
		want    sockopts
	}{
		"defaults": {nil, sockopts{30, 10, 3, 4000, 1}},
		"chosen": {map[string]string{
			"keepalives_idle": "60", "keepalives_interval": "5", "keepalives_count": "2", "tcp_user_timeout": "1500",
		}, sockopts{60, 5, 2, 1500, 1}},
		"off": {map[string]string{"keepalives": "0", "tcp_user_timeout": "0"}, sockopts{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := settings(t, running(t))
			for key, value := range tt.options {
				s.Options[key] = value
			}
			got := read(t, connect(t, open(t, s)))
			if tt.want.on == 0 {
				got.idle, got.interval, got.count = 0, 0, 0 // the system's own, unused
			}
			if sockopts(got) != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func read(t *testing.T, c driver.Conn) (got struct{ idle, interval, count, timeout, on int }) {
	t.Helper()
	wire := c.(interface{ Conn() *pgx.Conn }).Conn().PgConn().Conn()
	raw, err := wire.(interface{ NetConn() net.Conn }).NetConn().(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	option := func(fd uintptr, level, name int) int {
		value, err := unix.GetsockoptInt(int(fd), level, name)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	err = raw.Control(func(fd uintptr) {
		got.on = option(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		got.idle = option(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
		got.interval = option(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
		got.count = option(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT)
		got.timeout = option(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

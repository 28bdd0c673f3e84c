//go:build unix

package admin

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Supported says whether this system can do it.
const Supported = true

// longestPath is how many bytes the path of a socket may have; the system ends it with
// a zero.
const longestPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// ownedByUs insists that a folder is our user's.
func ownedByUs(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return Folder{path: path}.wrong(err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		owner := userName(stat.Uid)
		return &Error{
			Folder: path, Problem: "belongs to another user, " + owner,
			Hint: "become " + owner + ", or choose another folder",
		}
	}
	return nil
}

// userName is what people call a user.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if found, err := user.LookupId(id); err == nil {
		return found.Username
	}
	return id
}

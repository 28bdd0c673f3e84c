// Package admin is where the processes of a site can be asked, on their own machine
// and by their own user: each listens on a unix socket of its own, and all of them in
// one folder. What they answer is not its business.
//
// The folder belongs to the user alone (0700), and whoever listens or asks insists on
// that. On Linux the process at the other end is asked for its user as well, because
// on some file systems a mode says nothing. Nothing of it is reachable over a network.
//
// A socket is named after its process, "4711-0f3a91c2.sock", and gone when that ends.
// What a killed process leaves behind is removed by whoever comes by next.
//
// Systems where files have no owners have none of this: see [Supported].
package admin

package db

import (
	"context"
	"runtime"
	"slices"

	"github.com/goquintet/quintet/db/pool"
)

// opened is how much of its stack a scope remembers: who has opened it, and who has
// called that, up to the server's loop.
type opened [8]uintptr

// waitOf is the scope that waits for what Run does with ctx; nil without, and when
// ctx is one of context.WithoutCancel: then nobody waits.
func waitOf(ctx context.Context) *pool.Wait {
	sc := scopeOf(ctx)
	if sc == nil || ctx.Done() == nil {
		return nil
	}
	return &pool.Wait{Owner: sc, Ctx: ctx, Place: pool.Here(2), Sure: sc.openedHere(), Up: sc.waits}
}

// withDone gives ctx a Done channel if it has none, by which contexts of the scope
// can be told from those that context.WithoutCancel makes of them.
func withDone(ctx context.Context) context.Context {
	if ctx.Done() != nil {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	_ = cancel // nothing stands above it that would keep it
	return ctx
}

// openedHere reports whether this goroutine is the one that has opened the scope:
// the stack below it is the same. The function that called NewScope may have
// returned since, and its caller has moved on by then.
func (sc *Scope) openedHere() bool {
	opened := sc.opened[:]
	if i := slices.Index(opened, 0); i >= 0 {
		opened = opened[:i]
	}
	var space [128]uintptr
	stack := space[:pool.Callers(space[:])]
	for k := 1; k < len(opened); k++ {
		below := opened[k:]
		for i := 1; i+len(below) <= len(stack); i++ {
			if slices.Equal(stack[i:i+len(below)], below) && function(stack[i-1]) == function(opened[k-1]) {
				return true
			}
		}
	}
	return false
}

// function tells functions apart: it is where the one begins that pc is in.
func function(pc uintptr) uintptr {
	f := runtime.FuncForPC(pc - 1)
	if f == nil {
		return 0
	}
	return f.Entry()
}

// Package hub hands what one source says to everybody who listens: one query a second
// for all open pages instead of one for each, one connection that LISTENs for a whole
// process. It stands on the standard library.
//
// A [Hub] has a [Source] that runs while somebody listens, or none, and then says what
// [Hub.Publish] is given: from the OnCommit of a view, say, in a site of one process.
// [Hub.Subscribe] returns a sequence, as streams want it:
//
//	events, err := live.Subscribe(r.Context()) // a Hub[views.Event[Sale]]
//	if err != nil {
//		return nil, err
//	}
//	return views.Events(events), nil
//
// # Nobody waits for the slow
//
// A hub keeps the last values, once for all; each subscriber has a place among them.
// Publishing waits for nobody and costs the same whoever reads, and one that never
// reads costs nothing. Who falls behind by more than is kept has missed something, and
// its [Policy] says what that means: it is told ([ErrGap]) and goes on, it wants the
// newest value anyway, or it is sent away ([ErrSlow]).
//
// # What was missed is told
//
// A source that had lost touch tells that, too, once it is back: an [ErrGap] in the
// place of what may have been missed. It is a pair of the sequence like every error, but
// not the last one: who knows how reads the state anew and goes on; who does not ends
// with it, and a browser connects again.
//
// # Its end
//
// The source stops with the last subscriber and starts with the next: a site that is
// checked, migrated or idle has none, and nothing has to be stopped at shutdown, when
// streams are told first. A subscription ends with its own context, and with that of
// the hub; its last pair is the cause.
package hub

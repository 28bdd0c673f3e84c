// Package signals tells receivers what has happened: Django's signals, typed.
//
// A [Signal] is a field or a variable of your own; its zero value is ready. The
// type of its event is the topic, and the event is a struct with typed fields:
//
//	type OrderPlaced struct{ ID int }
//
//	type Shop struct{ OrderPlaced signals.Signal[OrderPlaced] }
//
//	disconnect := shop.OrderPlaced.Connect(func(ctx context.Context, e OrderPlaced) error {
//		return mail.Confirm(ctx, e.ID)
//	})
//	defer disconnect()
//
//	err := shop.OrderPlaced.Send(ctx, OrderPlaced{ID: 7})
//
// The [Bus] holds the signals of one site. There is no global signal: two sites
// in one process hear nothing of each other. Package signalstest records what a
// signal sends while a test runs.
//
// # Order
//
// Receivers run one after another, in the order of connecting.
//
// A send works on a snapshot: a receiver connected during a send is not called
// by it, and a receiver disconnected during a send still is. Both count from the
// next send. For the same reason a send that is under way in another goroutine
// may call a receiver after its disconnect has returned.
//
// # Failure
//
// [Signal.Send] stops at the first error and returns it wrapped with the
// receiver's name. A panic in a receiver passes through Send to the sender.
//
// [Signal.SendRobust] runs every receiver. Errors and panics become results: one
// [Result] for each receiver, in order, a panic as a [PanicError] with its stack.
// Nothing is logged here; whoever sends reads the results.
//
// A receiver that calls [runtime.Goexit] ends the sending goroutine, also under
// SendRobust: later receivers do not run, deferred calls do.
//
// # Goroutine
//
// Receivers run in the goroutine that sends: when a send returns, they are done.
//
// All methods may be called from several goroutines at once. Sends take no lock
// and wait for nobody but their own receivers, so one receiver may be running in
// several goroutines at the same time.
//
// The context is handed on as it is. A send does not look at it: a cancelled
// context still reaches every receiver.
//
// # Re-entry
//
// A receiver may send, also the signal that it hears, and may connect and
// disconnect receivers, itself included.
//
// # Cost
//
// Send allocates nothing, however many receivers there are. SendRobust allocates
// the results, and nothing when there is no receiver. The name of a receiver is
// looked up when first needed, not when sending.
//
// # Differences from Django
//
//   - No senders. An event is typed and carries what it is about; a receiver that
//     wants some events only looks at its fields. A uid belongs to one signal, not
//     to a pair of signal and sender.
//   - Functions have no identity in Go: a function connected twice is called twice.
//     Django's "connect once" is [Signal.ConnectOnce] with its dispatch_uid, and
//     disconnecting is the function that Connect returns, or the uid.
//   - References are strong. A receiver hears until it is disconnected; none
//     disappears because nobody else holds it.
//   - Receivers return an error and nothing else: Send returns an error where
//     Django's send returns pairs of receiver and response.
//   - SendRobust does not log. Django's send_robust does.
//   - SendRobust turns every panic into a result, [net/http.ErrAbortHandler] too.
//     Django's send_robust lets process exits through; what comes nearest here,
//     runtime.Goexit, goes through as well.
//   - A nil receiver is refused always, not in DEBUG only. A uid that is taken is
//     ignored as in Django, and told to [Signal.OnDuplicate].
//   - No asynchronous receivers. One that wants a goroutine starts it and owns it.
//   - The request signals are sent robustly, on a context with a deadline of its
//     own: a failing receiver stops neither the request nor the other receivers.
//     The site's own boundary (resetting queries, giving connections back) is not a
//     receiver, so none can remove, skip or overtake it.
package signals

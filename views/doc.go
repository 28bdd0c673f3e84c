// Package views is what a view is asked and what it answers. It knows no
// database, no router and no site: package app serves its views, and a test calls
// them as the functions that they are.
//
//	func Detail(r *views.Request) (views.Response, error) {
//		poll, err := findPoll(r.Context(), r.PathValue("id"))
//		if err != nil {
//			return nil, views.Or404(err)
//		}
//		return views.Template{Name: "polls/detail.html", Data: poll}, nil
//	}
//
// # Responses
//
// Every kind of response is a struct with a Status, a Header, Cookies and what is
// its own: [Text], [HTML], [JSON], [Redirect], [NoContent], [File], [Template] and
// [StreamingResponse]. A zero Status is the usual one.
//
// What is rendered is rendered completely before the writer is touched: a
// template may still query, and its failure is an ordinary error page. Statuses
// that cannot answer, headers with newlines, types that are said twice and unsafe
// redirects are errors, and nothing has been sent then.
//
// A view refuses with an error: a sentinel such as [ErrNotFound], which it may
// wrap, or an [Error] with a message for the client. [StatusOf] and [MessageOf]
// say what the client gets to see of an error; all the rest is for the log.
//
// # The life of a stream
//
// A [StreamingResponse] goes through these steps, in this order, and through the
// last one whatever happens in between.
//
//  1. The response is judged: status, headers, cookies, Body. A mistake is an
//     ordinary error. A HEAD request and the statuses 204 and 304 end here, with
//     the headers; the generator never runs.
//  2. The stream is counted in, and may be refused with a 503.
//  3. Every database connection of the request goes home, or is kept by name with
//     KeepConnection. A view that is still in a block of its own gets an error.
//  4. What the view left of the request's body is read and dropped, for without
//     that net/http does not see a client leave: up to 256 KiB. The generator
//     waits for it a second at most; a slower body is dropped while the stream
//     runs. If there is still more, the connection ends with the response, and the
//     next write notices the departure. With ReadsBody the body is the
//     generator's.
//  5. The generator runs. The headers go out with its first chunk, those of
//     server-sent events at once. If it fails before, the client gets an ordinary
//     error page.
//  6. At each yield: rows or a block that are open across it are an error, unless
//     there is KeepConnection or they are db.Iterate's snapshot; then the chunk goes
//     out. A context that has ended ends the stream: see below.
//  7. The generator returns. When it was told to, by a yield that returned false,
//     its defers run as in any loop.
//  8. What was held back goes out, also after a failure: the client has got
//     everything that was yielded. A stream without a chunk sends its headers.
//  9. Close runs, once, and the stream is counted out.
//
// A chunk goes out at once, unless the one before went out less than 5 ms ago:
// then it waits for others, for 5 ms at most and 64 KiB at most, whatever the
// generator does meanwhile. A write that the client does not take within 30 s ends
// the stream; between the writes nothing does, the WriteTimeout of the server
// included, but for the MaxAge of the stream. A Heartbeat goes out when nothing else
// has for a while.
//
// When the client has left, the next yield that goes out returns false; of chunks
// that are only held back, one in 64 looks. A stream that is told to end for another
// reason, by the cause of its context, may yield the chunk that it was about to, and
// one more: its last word. That is app.ErrShutdown when the site stops, and
// [ErrMaxAge]. If it returns then, it has answered in full; a generator that goes on is
// refused, and broken off.
//
// # Shapes
//
// All of them are bodies of one kind, an iter.Seq2 of chunks: text and bytes as they
// are ([Chunks]), values a line ([JSONLines]), tables ([CSV], [CSVWith]), what an
// encoder or an archive writes ([Write]), and server-sent events ([Events], with the
// whole response). An error in the middle of any breaks the response off: each chunk
// that was yielded before has gone out, whole. A [File] is no stream: it knows its
// length, and answers ranges and conditions.
//
// Respond returns nil when all was sent. Its error is [ErrClientGone] when the
// client left, or took none of a write for too long; otherwise it is what the
// generator failed with, the cause of a context that ended for another reason
// than a cancel, or what the life cycle refused. A panic passes through. After the
// first byte, it is the life cycle that breaks the connection, so that the client
// sees half a body for what it is.
//
// # Differences from Django
//
//   - A stream holds no connection while it runs. In Django it keeps the one of
//     its view to its end, unless the view has closed it and nothing queried since.
//   - A StreamingHttpResponse that fails before its first part has sent a 200;
//     here that is an error page. One that fails later ends, with some servers, as
//     if it were complete; here it is broken off.
//   - Close runs in every case, also when the generator never ran or failed.
//   - A view returns errors: Http404, PermissionDenied, BadRequest are values.
//   - JSON takes every value, not only dictionaries.
//   - The default type of a stream is text/plain, not text/html: what a generator
//     writes is not escaped.
//   - An ordinary response cannot be written to after it was made, and a request's
//     Query gives the first value of a parameter, not the last.
//   - A form is bound without parameters of the URL, as request.POST is; all its
//     wrong fields are named at once, as a Form's are. There are no form classes.
//   - A layout is chosen by the page with {{template}} and filled by {{define}}:
//     html/template has no extends. Its escaping knows scripts, styles and URLs.
//   - A connection is kept alive after a stream: HTTP/1.1 marks the end of its
//     body. Django's own server closes it.
package views

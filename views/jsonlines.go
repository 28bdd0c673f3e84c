package views

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
)

// JSONLines is the body of a stream of values, each as encoding/json writes it, on
// a line of its own: newline-delimited JSON. Its ContentType is
// "application/x-ndjson", which most clients know; "application/jsonl" is the same.
// Each value is a chunk. No value is no line, and a nil one is null.
//
// An error in the middle, of the sequence or of a value that does not encode,
// breaks the response off behind the last whole line: the client has got what it
// can use, and sees that it is not all. Before the first line it is an ordinary
// error. One that the client should read is a value like the others, with which the
// sequence ends.
func JSONLines[T any](values iter.Seq2[T, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		for value, err := range values {
			if err == nil {
				line.Reset()
				if err = encoder.Encode(value); err != nil {
					err = fmt.Errorf("views: JSONLines: encode %T: %w", value, err)
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(line.Bytes(), nil) {
				return
			}
		}
	}
}

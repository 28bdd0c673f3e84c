package demo

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/manage/demo/sales"
	"github.com/goquintet/quintet/views"
)

const (
	mostChunks   = 10_000
	longestDelay = 10 * time.Second
	longestSlow  = 10 * time.Minute
)

// slow is a view like any that has caused trouble: it makes one query and then
// takes its time to answer. /slow?chunks=20&delay=50ms. With keep=yes it holds its
// connection meanwhile, which it has to say by name.
func slow(r *views.Request) (views.Response, error) {
	ctx := r.Context()
	chunks, delay, err := parseSlow(r)
	if err != nil {
		return nil, err
	}
	regions, err := db.From(ctx).NewSelect().Model((*sales.Region)(nil)).Count(ctx)
	if err != nil {
		return nil, err
	}
	return views.StreamingResponse{
		KeepConnection: r.Query("keep") == "yes",
		Body: func(yield func([]byte, error) bool) {
			for i := range chunks {
				if i > 0 {
					if err := views.Sleep(ctx, delay); err != nil {
						yield(nil, err)
						return
					}
				}
				if !yield(fmt.Appendf(nil, "chunk %d of %d about %d regions\n", i+1, chunks, regions), nil) {
					return
				}
			}
		},
	}, nil
}

// parseSlow reads chunks and delay. A delay without a unit is in milliseconds.
func parseSlow(r *views.Request) (chunks int, delay time.Duration, err error) {
	chunks, delay = 20, 50*time.Millisecond
	if text := r.Query("chunks"); text != "" {
		if chunks, err = strconv.Atoi(text); err != nil || chunks < 1 || chunks > mostChunks {
			return 0, 0, badRequest("chunks=%q is no whole number from 1 to %d.", text, mostChunks)
		}
	}
	if text := r.Query("delay"); text != "" {
		unit := text
		if _, err := strconv.Atoi(text); err == nil {
			unit += "ms"
		}
		if delay, err = time.ParseDuration(unit); err != nil || delay < 0 || delay > longestDelay {
			return 0, 0, badRequest("delay=%q is no time from 0 to %s, such as 50ms.", text, longestDelay)
		}
	}
	if total := time.Duration(chunks-1) * delay; total > longestSlow {
		return 0, 0, badRequest("%d chunks with %s between them take %s; %s is the most.", chunks, delay, total, longestSlow)
	}
	return chunks, delay, nil
}

func badRequest(format string, args ...any) error {
	return &views.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
}

package commands

import (
	"io"
	"log/slog"

	"github.com/lmittmann/tint"
)

// newLogger writes for people on a terminal, and JSON for programs elsewhere. The site
// applies LOG_LEVEL, so that everything may pass here.
func newLogger(w io.Writer, people bool, s style) *slog.Logger {
	if !people && !s.on { // who forces colours wants to read them
		return newJSONLogger(w)
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: slog.LevelDebug, TimeFormat: "15:04:05", NoColor: !s.on}))
}

// newJSONLogger writes for programs only.
func newJSONLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

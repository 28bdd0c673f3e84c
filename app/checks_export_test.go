package app

import (
	"log/slog"
	"runtime/debug"
)

// KnownProblem is one line of the table of problems.
type KnownProblem struct {
	ID, Tag, Title string
	Level          slog.Level
}

// KnownProblems are all that the framework may find.
func KnownProblems() (all []KnownProblem) {
	for _, k := range knownProblems() {
		all = append(all, KnownProblem{k.id, k.tag, k.title, k.level})
	}
	return all
}

// InspectBuild is what the check says of a program that was built so.
func InspectBuild(info *debug.BuildInfo) []Problem { return inspectBuild(info) }

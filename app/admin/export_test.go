package admin

// Defaults is Default in another environment.
func Defaults(site string, getenv func(string) string, temp string) []Folder {
	return defaults(site, getenv, temp)
}

// LongestPath is the system's limit.
const LongestPath = longestPath

// LongestName is that of a socket.
const LongestName = longestName

package commands

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

const framework = "github.com/goquintet/quintet"

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of Quintet", Args: atMost(0), GroupID: groupHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "Quintet %s, %s\n", version(), runtime.Version())
			return err
		},
	}
}

// version is the framework's own, be it the program or a module of it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	for _, module := range append(info.Deps, &info.Main) {
		if module.Path == framework && module.Version != "" && module.Replace == nil {
			return module.Version
		}
	}
	return "(devel)"
}

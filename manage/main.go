// Command manage runs the demo of this repository and its tests. A site of your own
// has the same line with its own New.
package main

import (
	"github.com/goquintet/quintet/manage/commands"
	"github.com/goquintet/quintet/manage/demo"
)

func main() { commands.Main(demo.New) }

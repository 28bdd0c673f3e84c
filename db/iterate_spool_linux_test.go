package db_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/sqlite"
)

// spoolChildKey is the folder of the spool of a process that a test has started.
const spoolChildKey = "QUINTET_TEST_SPOOL_DIR"

// spoolInChild runs what the test needs a process of its own for, and ends it; in the
// test itself it returns.
func spoolInChild(loop func(row wide, err error) bool) {
	dir := os.Getenv(spoolChildKey)
	if dir == "" {
		return
	}
	conns, err := db.Open(map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:"}}, db.Options{Engines: []db.Engine{sqlite.Engine{}}})
	if err == nil {
		err = conns.Run(context.Background(), "child", func(ctx context.Context) error {
			q := db.From(ctx).NewSelect().ModelTableExpr("(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT i AS id, 'a text of some length' AS text FROM n) AS wide")
			for row, err := range db.Iterate[wide](ctx, q, db.IterateOptions{Mode: db.ModeSpool, SpoolMemory: 1000, SpoolDir: dir}) {
				if !loop(row, err) {
					break
				}
			}
			return nil
		})
	}
	if err != nil {
		fmt.Println(err)
	}
	os.Exit(0)
}

type wide struct {
	ID   int64 `bun:",pk"`
	Text string
}

// child starts the test that calls it once more, as a process of its own, after
// those lines of a shell.
func child(t *testing.T, dir, before string) (*osexec.Cmd, *bufio.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := osexec.CommandContext(t.Context(), "sh", "-c", before+`exec "$0" "$@"`, self, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), spoolChildKey+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

func TestIterateSpool_AKilledProcessLeavesNoFile(t *testing.T) {
	t.Parallel()
	spoolInChild(func(_ wide, err error) bool {
		fmt.Println("in the loop", err)
		select {} // until it is killed
	})
	dir := t.TempDir()
	cmd, out := child(t, dir, "")
	line, err := out.ReadString('\n')
	if err != nil || line != "in the loop <nil>\n" {
		t.Errorf("the process says %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	var exit *osexec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Errorf("it ended with %v", err)
	}
	expect(t, "files that are left", len(files(t, dir)), 0)
}

func TestIterateSpool_AFullDiskIsAnError(t *testing.T) {
	t.Parallel()
	spoolInChild(func(row wide, err error) bool {
		fmt.Println(row.ID, err)
		return true
	})
	// A limit instead of a disk: the signal is ignored, so that the write fails.
	cmd, out := child(t, t.TempDir(), "trap '' XFSZ\nulimit -f 512\n")
	line, err := out.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "0 db: Iterate: spool to a file after") || !strings.Contains(line, "file too large") {
		t.Errorf("the process says %q, %v", line, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

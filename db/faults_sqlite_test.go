package db_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	process "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/db/sqlite"
)

// What FAULTS.md has under "Others": a file that others lock, replace or fill.

// fileToLock, in the environment, makes of this program another one: it writes to that
// file in a block, says so, and goes on when its input ends.
const fileToLock = "QUINTET_TEST_FILE_TO_LOCK"

func lockFile(path string) error {
	conns, err := db.Open(map[string]db.Settings{"default": {Engine: "sqlite", Name: path}}, db.Options{Engines: []db.Engine{sqlite.Engine{}}})
	if err != nil {
		return err
	}
	ctx := context.Background()
	err = conns.Run(ctx, "another process", func(ctx context.Context) error {
		return db.Atomic(ctx, func(ctx context.Context) error {
			if err := insert(ctx, 100); err != nil {
				return err
			}
			if _, err := fmt.Println("locked"); err != nil {
				return err
			}
			_, err := io.Copy(io.Discard, os.Stdin)
			return err
		})
	})
	return errors.Join(err, conns.Close(ctx))
}

// lockedBy starts a process that holds the file's lock. commit lets it end, kill ends it.
func lockedBy(t *testing.T, path string) (commit, kill func()) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := process.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), fileToLock+"="+path)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "locked\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	commit = func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // which says that it was killed
	}
	return commit, kill
}

// itemFile is a file with the table item, and settings of kept connections to it.
func itemFile(t *testing.T, options map[string]string) db.Settings {
	t.Helper()
	settings := kept(db.Settings{Engine: "sqlite", Name: filepath.Join(t.TempDir(), "site.db")})
	scope(t, dbtest.Open(t, settings), func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "CREATE TABLE item (id integer PRIMARY KEY, filler text)")
	})
	settings.Options = options
	return settings
}

func insertScope(ctx context.Context, conns *db.Connections, id int) error {
	return try(ctx, conns, func(ctx context.Context, _ *db.Conn) error { return insert(ctx, id) })
}

func TestSQLite_AnotherProcessThatWritesIsWaitedForAndNamedIfItDoesNotEnd(t *testing.T) {
	t.Parallel()
	settings := itemFile(t, map[string]string{"timeout": "0.2"})
	conns := dbtest.Open(t, settings)
	commit, _ := lockedBy(t, settings.Name)
	happened(t, "another process has the lock")
	err := insertScope(t.Context(), conns, 1)
	expectError(t, "a write", err, db.ErrOperational)
	if err != nil {
		expectText(t, "the error", err.Error(), "locked")
	}
	expect(t, "what readers see meanwhile", stored(t, conns), "")
	expect(t, "connections opened", stats(conns).Opened, 1)

	settings.Options = map[string]string{"timeout": "60"}
	patient := dbtest.Open(t, settings)
	written := make(chan error, 1)
	go func() { written <- insertScope(t.Context(), patient, 2) }()
	awaitStatement(t, patient, "INSERT")
	commit()
	if err := <-written; err != nil {
		t.Error(err)
	}
	expect(t, "stored", stored(t, conns), "2 100")
}

func TestSQLite_AnotherProcessThatIsKilledLeavesNoLockAndNoRow(t *testing.T) {
	t.Parallel()
	settings := itemFile(t, nil)
	conns := dbtest.Open(t, settings)
	_, kill := lockedBy(t, settings.Name)
	kill()
	happened(t, "another process was killed while it had the lock")
	if err := insertScope(t.Context(), conns, 1); err != nil {
		t.Error(err)
	}
	expect(t, "stored", stored(t, conns), "1")
}

// A backup that is put back under a site that runs is what the next scope sees, and the
// old file is not written to in vain.
func TestSQLite_AFileThatWasReplacedIsTheOneOfTheNextScope(t *testing.T) {
	t.Parallel()
	settings, backup := itemFile(t, nil), itemFile(t, nil)
	conns := dbtest.Open(t, settings)
	if err := errors.Join(insertScope(t.Context(), conns, 1), insertScope(t.Context(), dbtest.Open(t, backup), 2)); err != nil {
		t.Fatal(err)
	}
	closed, err := os.ReadDir(filepath.Dir(settings.Name))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range closed { // with its write-ahead log, which belongs to the old one
		if strings.HasPrefix(file.Name(), "site.db-") {
			if err := os.Remove(filepath.Join(filepath.Dir(settings.Name), file.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	checkpointed(t, backup)
	if err := os.Rename(backup.Name, settings.Name); err != nil {
		t.Fatal(err)
	}
	happened(t, "the file was replaced")
	if err := insertScope(t.Context(), conns, 3); err != nil {
		t.Error(err)
	}
	expect(t, "stored", stored(t, conns), "2 3")
	expect(t, "found dead", stats(conns).Dead, 1)
}

// checkpointed moves everything into the file itself.
func checkpointed(t *testing.T, settings db.Settings) {
	t.Helper()
	scope(t, dbtest.Open(t, settings), func(ctx context.Context, conn *db.Conn) error {
		return exec(ctx, conn, "PRAGMA wal_checkpoint(TRUNCATE)")
	})
}

// A full disk says the same as a file that has reached its limit.
func TestSQLite_AFullDiskCostsTheBlockAndNoConnection(t *testing.T) {
	t.Parallel()
	settings := itemFile(t, map[string]string{"init_command": "PRAGMA max_page_count = 10"})
	conns := dbtest.Open(t, settings)
	if err := insertScope(t.Context(), conns, 1); err != nil {
		t.Fatal(err)
	}
	scope(t, conns, func(ctx context.Context, conn *db.Conn) error {
		err := db.Atomic(ctx, func(ctx context.Context) error {
			return errors.Join(insert(ctx, 2), exec(ctx, db.From(ctx), "INSERT INTO item VALUES (3, '"+strings.Repeat("x", 100_000)+"')"))
		})
		expectError(t, "the block", err, db.ErrOperational)
		if err != nil {
			expectText(t, "the error", err.Error(), "full")
		}
		return insert(ctx, 4)
	})
	expect(t, "stored", stored(t, conns), "1 4")
	expect(t, "connections opened", stats(conns).Opened, 1)
}

func TestSQLite_AFileThatCannotBeWrittenIsReadAllTheSame(t *testing.T) {
	t.Parallel()
	settings := itemFile(t, map[string]string{"mode": "ro"})
	conns := dbtest.Open(t, settings)
	for range 2 {
		err := insertScope(t.Context(), conns, 1)
		expectError(t, "a write", err, db.ErrOperational)
		if err != nil {
			expectText(t, "the error", err.Error(), "readonly")
		}
		expect(t, "stored", stored(t, conns), "")
	}
}

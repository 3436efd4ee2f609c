package stats

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/twohop/twohop/proto/wire"
)

// kept returns how many minutes and hours are in the file.
func (n *node) kept() (minutes, hours int) {
	err := n.rollups.file.view(func(tx *bbolt.Tx) error {
		minutes, hours = tx.Bucket(bucketMinutes).Stats().KeyN, tx.Bucket(bucketHours).Stats().KeyN
		return nil
	})
	if err != nil {
		n.t.Error(err)
	}
	return minutes, hours
}

// writtenFile returns the path of a file with some minutes in it.
func writtenFile(t *testing.T) string {
	dir := t.TempDir()
	n := at(t, noon, Options{Dir: dir})
	for i := range 30 {
		for k := range 50 {
			n.call(string(rune('a'+k)), "pay", "Charge", i+k+1, wire.OK, time.Duration(k)*time.Millisecond)
		}
		n.jump(time.Minute)
	}
	n.stop()
	return filepath.Join(dir, "stats.db")
}

func TestAFileThatIsCut(t *testing.T) {
	path := writtenFile(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page, wantEntered := os.Getpagesize(), uint64(0)
	for i := range 30 {
		for k := range 50 {
			wantEntered += uint64(i + k + 1)
		}
	}
	for size := 1; size < len(whole); size += page/2 + 1 {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := try(t, noon.Add(time.Hour), Options{Dir: filepath.Dir(path)})
		if err == nil {
			// Nothing that the file says it has is behind the cut.
			if row := one(t, n.past(Query{From: noon})); row.Entered != wantEntered {
				t.Errorf("cut at %d of %d: opened, and %d calls are in it", size, len(whole), row.Entered)
			}
			n.rollups.close()
			continue
		}
		wantText(t, err, "stats: ", path, "move it away, and a new one is made")
	}
	if err := os.WriteFile(path, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = try(t, noon, Options{Dir: filepath.Dir(path)})
	wantText(t, err, "is cut: it has")
}

// TestAFileWithBrokenPages: it is refused, or what is read of it is, and the node goes on.
func TestAFileWithBrokenPages(t *testing.T) {
	path := writtenFile(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page, failed := os.Getpagesize(), 0
	for at := 2 * page; at < len(whole); at += page {
		broken := append([]byte{}, whole...)
		for i := range page {
			broken[at+i] = 0xA5
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "stats.db"), broken, 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := try(t, noon.Add(time.Hour), Options{Dir: dir})
		if err == nil {
			_, err = n.Past(t.Context(), Query{From: noon, Step: time.Minute})
		}
		if err != nil {
			failed++
			wantText(t, err, "broken")
		}
	}
	if failed == 0 {
		t.Error("nothing of it was noticed")
	}
}

func TestAFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "stats.db")
	if err := os.WriteFile(path, make([]byte, 100000), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := try(t, noon, Options{Dir: dir})
	wantText(t, err, path, "does not begin as a bbolt file does")
	os.Remove(path)
	os.Mkdir(path, 0o700)
	_, err = try(t, noon, Options{Dir: dir})
	wantText(t, err, path, "is not a file")
	os.Remove(path)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.Update(func(tx *bbolt.Tx) error {
		b, _ := tx.CreateBucket(bucketMeta)
		return b.Put(keyFormat, []byte("twohop stats 9"))
	})
	db.Close()
	_, err = try(t, noon, Options{Dir: dir})
	wantText(t, err, path, `has the format "twohop stats 9", must have "twohop stats 1"`)
}

// TestAFileInUse: another process has it.
func TestAFileInUse(t *testing.T) {
	if dir := os.Getenv("STATS_TEST_HOLD"); dir != "" { // the other process
		at(t, noon, Options{Dir: dir})
		os.Stdout.WriteString("held\n")
		os.Stdin.Read(make([]byte, 1))
		return
	}
	dir := t.TempDir()
	other := exec.Command(os.Args[0], "-test.run=^TestAFileInUse$")
	other.Env = append(os.Environ(), "STATS_TEST_HOLD="+dir)
	in, _ := other.StdinPipe()
	out, _ := other.StdoutPipe()
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	_, err := try(t, noon, Options{Dir: dir})
	wantText(t, err, filepath.Join(dir, "stats.db"), "is in use by another process")
	in.Close()
	other.Wait()
	at(t, noon, Options{Dir: dir})
}

// TestADiskThatIsAway: calls are counted, minutes wait, and are written when it is back.
func TestADiskThatIsAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	n := at(t, noon, Options{Dir: dir})
	n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
	n.wait(60)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
		n.wait(60)
	}
	troubles := n.Troubles()
	if len(troubles) != 1 || troubles[0].Kind != StatsDisk || !troubles[0].Since.Equal(noon.Add(2*time.Minute)) ||
		!contains(troubles[0].Cause, "3 minutes wait in memory, 0 were dropped") || !contains(troubles[0].Cause, "no such file or directory") {
		t.Errorf("troubles: %+v", troubles)
	}
	if r := one(t, n.Now(Query{Total: true})); r.Entered != 4 {
		t.Errorf("entered %d, want 4", r.Entered)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	n.wait(60)
	if troubles := n.Troubles(); len(troubles) != 0 {
		t.Errorf("the disk is back: %+v", troubles)
	}
	if row := one(t, n.past(Query{From: noon})); row.Entered != 4 {
		t.Errorf("of the past: %d, want 4", row.Entered)
	}
	// Somebody removes the file: a new one is made, and what is counted from then on is not lost.
	os.Remove(filepath.Join(dir, "stats.db"))
	n.call("web", "pay", "Charge", 1, wire.OK, time.Millisecond)
	n.wait(60)
	if row := one(t, n.past(Query{From: noon})); row.Entered != 1 {
		t.Errorf("in the new file: %d, want 1", row.Entered)
	}
	// And another one is put in its place: what is counted goes there.
	os.Rename(filepath.Join(dir, "stats.db"), filepath.Join(dir, "old.db"))
	os.WriteFile(filepath.Join(dir, "stats.db"), nil, 0o600)
	n.call("web", "pay", "Charge", 2, wire.OK, time.Millisecond)
	n.wait(60)
	if row := one(t, n.past(Query{From: noon})); row.Entered != 2 {
		t.Errorf("in the other file: %d, want 2", row.Entered)
	}
	n.check()
}

// TestADiskThatIsFull: an hour waits, what is beyond it is dropped and counted.
func TestADiskThatIsFull(t *testing.T) {
	n := at(t, noon, Options{Dir: t.TempDir()})
	n.rollups.close()
	n.rollups.file.maxFile = 256 << 10
	if err := n.rollups.file.open(); err != nil {
		t.Fatal(err)
	}
	minutes := 0
	minute := func() {
		for k := range 400 {
			n.call(string(rune('!'+k)), "pay", "Charge", 1+(minutes*k)%97, wire.OK, time.Duration(k*minutes)*time.Microsecond)
		}
		n.jump(time.Minute)
		minutes++
	}
	for len(n.Troubles()) == 0 && minutes < 1000 {
		minute()
	}
	wrote := minutes - 1
	if wrote == 0 || minutes == 1000 {
		t.Fatalf("%d minutes were written", wrote)
	}
	for range 69 {
		minute()
	}
	troubles := n.Troubles()
	if len(troubles) != 1 || !contains(troubles[0].Cause, "60 minutes wait in memory, 10 were dropped") {
		t.Errorf("troubles: %+v", troubles)
	}
	// The disk gets room.
	n.rollups.file.mu.Lock()
	n.rollups.file.closeLocked()
	n.rollups.file.maxFile = 0
	n.rollups.file.mu.Unlock()
	n.jump(time.Minute)
	if len(n.Troubles()) != 0 {
		t.Errorf("troubles: %+v", n.Troubles())
	}
	if got, _ := n.kept(); got != wrote+60 {
		t.Errorf("%d minutes are kept, want %d", got, wrote+60)
	}
	n.check()
}

func TestTheFileDoesNotGrowBeyondItsBound(t *testing.T) {
	const bound = 256 << 10
	n := at(t, noon, Options{Dir: t.TempDir(), MaxDisk: bound})
	for i := range 400 {
		for k := range 200 {
			n.call(string(rune('!'+k)), "pay", "Charge", 1+(i*k)%97, wire.OK, time.Duration(k*i)*time.Microsecond)
		}
		n.jump(time.Minute)
		if minutes, _ := n.kept(); i >= 100 && minutes < 30 {
			t.Fatalf("after %d minutes %d are left: more was removed than was too much", i+1, minutes)
		}
	}
	if len(n.Troubles()) != 0 {
		t.Errorf("troubles: %+v", n.Troubles())
	}
	info, err := os.Stat(n.rollups.file.path)
	if err != nil || info.Size() > 4*bound {
		t.Errorf("the file has %d bytes (%v), the bound is %d", info.Size(), err, bound)
	}
	rows := n.past(Query{From: noon, Step: time.Minute, By: ByNothing, Sort: SortName})
	if len(rows) < 40 || len(rows) > 300 || !rows[len(rows)-1].Time.Equal(n.wall.Add(-time.Minute)) {
		t.Errorf("%d minutes are left", len(rows))
	}
}

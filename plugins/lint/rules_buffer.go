package lint

import (
	"math"
	"time"
)

// checkDiskBuffer reports the same as the constructor of plugins/diskbuffer.
func checkDiskBuffer(f fields) {
	if path, ok := f.conf["path"].(string); ok && path == "" {
		f.report("path", "is empty; give the directory of the buffer, which no other buffer uses")
	}
	f.sizeRule("max_bytes", 1<<20, math.MaxInt64)
	f.durationRules(true, "max_age")
	f.wordRule("on_full", "block", "drop_oldest")
	f.wordRule("sync", "always", "interval")
	f.durationRange("sync_interval", time.Millisecond, time.Hour)
	f.rangeRule("max_batch_messages", 1, math.MaxInt32)
	f.sizeRule("max_batch_bytes", 1, math.MaxInt32)
}

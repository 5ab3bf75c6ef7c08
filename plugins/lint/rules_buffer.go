package lint

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// bufferFields are the fields of the input disk_buffer, except its input.
var bufferFields = []string{"path", "max_bytes", "max_age", "on_full", "sync", "sync_interval", "max_batch_messages", "max_batch_bytes"}

// templateBuffer checks the field disk_buffer of the input template.
func (f fields) templateBuffer() {
	buffer, ok := f.inner("disk_buffer", f.conf["disk_buffer"])
	if !ok {
		if f.isSet("disk_buffer") && !isUnset(f.conf["disk_buffer"]) {
			f.report("disk_buffer", "must be an object with a path")
		}
		return
	}
	if buffer.conf["path"] == nil {
		f.report("disk_buffer", "needs a path, the directory of the buffer, which no other buffer uses; for no buffer, remove disk_buffer")
	}
	right := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(buffer.conf)) {
		if what := bufferType(name, buffer.conf[name]); what != "" {
			buffer.report(name, what)
		} else {
			right[name] = buffer.conf[name]
		}
	}
	buffer.conf = right
	checkDiskBuffer(buffer)
}

// bufferType returns what is wrong with the type of a field. The template passes it on as
// it is, and the buffer takes texts and one number.
func bufferType(name string, value any) string {
	if !slices.Contains(bufferFields, name) {
		return "is unknown; must be one of " + strings.Join(bufferFields, ", ")
	}
	if name == "max_batch_messages" && value != nil {
		return checkType(value, "int")
	}
	switch value.(type) {
	case nil, string:
		return ""
	case []any, map[string]any:
		return "must be one value, not a list or an object"
	}
	return "must be text; put it in quotes"
}

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

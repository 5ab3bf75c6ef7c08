package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// buffered is the name of our pair with a disk buffer.
const buffered = "buffered"

// bufferCells compare our pair with itself behind a disk buffer.
func bufferCells(flood func(name string, messages, stockShare, size, topics, window int) cell) []cell {
	cells := []cell{
		flood("disk buffer, 64 B, window 4000", 1_600_000, 1, 64, 100, 4000),
		flood("disk buffer, 64 B, window 20", 100_000, 1, 64, 100, 20),
	}
	for i := range cells {
		cells[i].Buffered = true
	}
	return cells
}

// bufferedPipeline is ours with a disk buffer beside the file of the pipeline.
func bufferedPipeline(c cell, mqtt, brokers, topic, dir string) string {
	const at = "client_id: bench"
	return strings.Replace(ourPipeline(c, mqtt, brokers, topic), at,
		at+fmt.Sprintf(", disk_buffer: { path: %q, max_bytes: 10GiB }", filepath.Join(dir, topic+"-buffer")), 1)
}

func bufferTable(cells []cellReport) string {
	var b strings.Builder
	for _, c := range cells {
		o, d := c.Systems[ours], c.Systems[buffered]
		fmt.Fprintf(&b, "| %s | %s | %s | %.2f | %.2f |\n", strings.TrimPrefix(c.Name, "disk buffer, "), o, d, d.Rate/o.Rate, d.CPU/o.CPU)
	}
	if b.Len() == 0 {
		return ""
	}
	return "\nWith a disk buffer, whose fsync is the limit at a small window:\n\n" +
		"| work | ours | with a disk buffer | rate, to without | CPU, to without |\n|---|---|---|---|---|\n" + b.String()
}
